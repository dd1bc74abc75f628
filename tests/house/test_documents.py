"""Text and code do not part ways: commands, settings, flags and quantities are all written down."""

import re

import msgspec
import pytest
import typer.main

import noctule
from sensors.city import CitySettings
from sensors.flags import Flag
from sensors.quantities import QUANTITIES
from tests.shared_data import ROOT


def commands():
    def walk(group, prefix):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*prefix, name))
            else:
                yield " ".join((*prefix, name)), command

    yield from walk(typer.main.get_command(noctule.app), ())


def settings(struct, prefix=""):
    for field in msgspec.structs.fields(struct):
        name = f"{prefix}{field.encode_name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from settings(field.type, f"{name}.")
        else:
            yield name


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_documented_and_shows_an_example(name, command):
    assert f"noctule {name}" in (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert f"Example: noctule {name}" in re.sub(r"\s+", " ", command.help or "")


def test_no_document_names_a_command_that_is_not_there():
    known = {name for name, _ in commands()}
    words = {name.split()[0] for name in known}
    text = (ROOT / "README.md").read_text("utf-8") + (ROOT / "docs" / "commands.md").read_text("utf-8")
    for line in re.findall(r"`noctule ([a-z-]+)", text):
        assert line in words


@pytest.mark.parametrize("document", ["ingest/README.md", "docs/brokers.md", "docs/operations.md"])
def test_every_test_that_a_document_names_is_there(document):
    named = set(re.findall(r"\btest_\w+", (ROOT / document).read_text("utf-8")))
    assert named or document == "docs/operations.md"
    there = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    # A name that goes on with a star, like test_no_loss_*, stands for several.
    assert [
        name for name in named if not any(path == name or path.startswith(name.rstrip("_") + "_") for path in there)
    ] == []


@pytest.mark.parametrize("name", list(settings(CitySettings)))
def test_every_setting_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs" / "city.md").read_text("utf-8")


@pytest.mark.parametrize("word", [*QUANTITIES, *(str(flag.name).lower() for flag in Flag)])
def test_every_quantity_and_flag_is_in_the_vocabulary(word):
    assert f"`{word}`" in (ROOT / "docs" / "vocabulary.md").read_text("utf-8")


def test_screens_are_listed_and_small():
    folder = ROOT / "docs" / "screens"
    listed = (folder / "README.md").read_text("utf-8")
    for picture in folder.glob("*.png"):
        assert f"`{picture.name}`" in listed and picture.stat().st_size < 400_000, picture.name
