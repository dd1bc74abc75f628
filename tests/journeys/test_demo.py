"""The main job as a newcomer does it: install the wheel away from the clone, run the demo, stop it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.shared_data import ROOT

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of what is committed, built away from the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "source")], check=True)
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder / "built"), str(folder / "source")]
    subprocess.run(build, check=True)
    return next((folder / "built").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel alone, in a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(installed: Path, cwd: Path, *arguments: str, **options):
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "noctule", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def test_the_wheel_holds_the_five_rooms_and_nothing_of_the_tests(installed):
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} - {"bin", "__pycache__"}
    assert names == {"noctule.py", "sensors", "ingest", "analytics", "dashboard", "firmware_sim"}
    for data in (
        "sensors/recipes/melbourne.toml",
        "sensors/instruments/core-4.toml",
        "dashboard/assets",
        "analytics/scenarios",
    ):
        assert (installed / data).exists(), data


def test_a_newcomer_sees_a_night_and_stops_it(installed, tmp_path):
    port = free_port()
    process = run(installed, tmp_path, "demo", "--port", str(port), "--speed", "60")
    said: list[str] = []
    try:
        deadline = time.monotonic() + 240
        for line in process.stdout:
            said.append(line.rstrip())
            if "first map with data" in line or time.monotonic() > deadline:
                break
        text = "\n".join(said)
        first = re.search(r"first map with data after ([\d.]+) s", text)
        assert first, text
        assert float(first.group(1)) <= 30
        for part in ("broker", "ingest", "mapper", "dashboard", "devices", "map", "night"):
            assert re.search(rf"^{part}\b", text, re.MULTILINE), f"no line for {part}:\n{text}"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert "Traceback" not in rest
    assert process.returncode == 0, rest
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive, [child.cmdline() for child in alive]


def test_a_port_in_use_is_one_sentence(installed, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = run(installed, tmp_path, "demo", "--port", str(taken.getsockname()[1]))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "is in use" in said
    assert "--port" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.slow  # some minutes and a hundred packages; the journeys above borrow theirs from this environment
def test_an_empty_environment_gets_all_it_needs_from_the_wheel(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "empty")], check=True)
    own = tmp_path / "empty" / "bin"
    pip = [str(own / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", str(wheel)]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip("no package index answers, so an empty environment cannot be filled")
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [str(own / "noctule"), "demo", "--prepare-only"]
    done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo" / "prepared" / "helsinki" / "city.toml").is_file()
