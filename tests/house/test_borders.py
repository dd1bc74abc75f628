"""Each heavy neighbour has one door: which files may import which package, file by file."""

import ast

import pytest

from tests.shared_data import ROOT

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")
# package -> what the path of a file that imports it must begin with
DOORS = {
    # one door a room, and the subclass of paho's client that receives fast
    "paho": ("ingest/mqtt.py", "ingest/fast_receive.py", "firmware_sim/mqtt.py"),
    "pyarrow": ("ingest/",),
    "numba": ("analytics/kernels/",),
    "llvmlite": ("analytics/kernels/",),
    "xarray": ("analytics/", "dashboard/"),  # the dashboard holds what the atlas hands it
    "zarr": ("analytics/",),
    "dask": ("analytics/",),
    "distributed": ("analytics/",),
    "dash": ("dashboard/",),
    "fastapi": ("dashboard/",),
    "starlette": ("dashboard/",),
    "uvicorn": ("dashboard/",),
    "iotcore": ("ingest/broker.py",),
    "pyrosm": ("sensors/osm.py",),
    "typer": tuple(f"{room}/commands.py" for room in ROOMS),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", DOORS)
def test_only_its_door_imports(package):
    inside = [
        name
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if package in imports(path) and not (name := path.relative_to(ROOT).as_posix()).startswith(DOORS[package])
    ]
    assert inside == []


@pytest.mark.parametrize("room", ROOMS)
def test_starting_a_command_loads_nothing_but_typer(room):
    module = ast.parse((ROOT / room / "commands.py").read_text("utf-8"))
    light = {"__future__", "typing", "pathlib", "typer", "enum", "collections", "sensors", "contextlib", "json"}
    loaded = set()
    for node in module.body:
        if isinstance(node, ast.Import):
            loaded |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            loaded.add((node.module or "").split(".")[0])
    assert loaded <= light


def test_imports_are_absolute_and_take_no_private_name():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    assert node.level == 0, path
                    if (node.module or "").split(".")[0] in ROOMS:
                        assert [name.name for name in node.names if name.name.startswith("_")] == [], path
