"""The house keeps its shape: the agreed rooms, their words in order, nothing named for nothing."""

import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.shared_data import ROOT

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")
TOP = {
    *ROOMS,
    "tests",
    "benchmarks",
    "docs",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "noctule.py",
    "pyproject.toml",
    "requirements.lock",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git clone, so there is no list of files to look at")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_as_agreed():
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_its_public_words_in_order(room):
    module = import_module(room)
    assert list(module.__all__) == sorted(module.__all__)
    for word in module.__all__:
        assert getattr(module, word) is not None
    assert dir(module) == list(module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_each_of_its_files_is(room):
    readme = (ROOT / room / "README.md").read_text("utf-8")
    files = [path for path in (ROOT / room).glob("*.py") if path.name not in {"__init__.py", "commands.py"}]
    assert [path.name for path in files if path.name not in readme] == []


def test_no_file_is_named_for_nothing_in_particular():
    nothing = {"util", "utils", "helper", "helpers", "common", "misc", "core"}
    assert [path for path in tracked() if path.stem in nothing] == []


# What uv writes: a comment, a pin with its marker, a hash. Anything else would say where packages came from.
LOCK_LINE = re.compile(
    r"\s*#.*|[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|"
)


def test_the_lock_holds_names_versions_and_hashes_only():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert [line for line in text.splitlines() if not LOCK_LINE.fullmatch(line)] == []
    assert ":/" not in text
    assert text.count("--hash=sha256:") > text.count("==") > 100


def test_no_file_names_a_machine():
    folder = f"{ROOT.parent}/"
    source = re.compile(r"--(extra-)?index.url[ =]|file:/{3}")
    for path in tracked():
        if path.suffix not in {".png", ".mo", ".ico"}:
            text = path.read_text("utf-8", "replace")
            assert folder not in text, path
            assert source.search(text) is None, path


def test_no_tracked_file_is_large():
    assert [(path.name, path.stat().st_size) for path in tracked() if path.stat().st_size > 1_500_000] == []
