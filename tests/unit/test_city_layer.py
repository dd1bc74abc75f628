import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from typer.testing import CliRunner

import noctule
from sensors.city import City
from sensors.city_layer import LayerTerms, layer_problems, layers, load_layer, read_layer, remove_layer, save_layer
from sensors.errors import CityError, LayerError
from sensors.places import check_city
from sensors.raster import Band
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city

NORTH_UP = Affine(2.0, 0, WEST, 0, -2.0, SOUTH + SIDE)
N = 160  # pixels of 2 m


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> City:
    return make_city(tmp_path_factory.mktemp("town"), simulated=False)


def terms(field="noise", **changes) -> LayerTerms:
    units = {"noise": "dB", "illuminance": "lx", "footfall": "persons/h"}
    usual = {
        "layer": "mine",
        "kind": "modelled",
        "unit": units.get(field, "dB"),
        "sd": 3.0 if field == "noise" else 0.4,
    }
    if field == "noise":
        usual["indicator"] = "lden"
    return LayerTerms(**{"field": field, **usual, **changes})


def raster(folder: Path, values: np.ndarray, transform=NORTH_UP, name="layer.tif", **profile) -> Path:
    file = folder / name
    stack = values if values.ndim == 3 else values[np.newaxis]
    options = {"driver": "GTiff", "dtype": values.dtype, "crs": CRS, "transform": transform} | profile
    with rasterio.open(file, "w", count=stack.shape[0], height=stack.shape[1], width=stack.shape[2], **options) as out:
        out.write(stack)
    return file


def checkers(one: float, other: float) -> np.ndarray:
    row, column = np.indices((N, N))
    return np.where((row + column) % 2 == 0, one, other).astype(np.float32)


def test_levels_are_averaged_as_energy(city, tmp_path):
    _, both, _ = read_layer(raster(tmp_path, checkers(50, 60)), city, terms(), band=Band())
    energy = 10 * np.log10((13 * 10**5 + 12 * 10**6) / 25), 10 * np.log10((12 * 10**5 + 13 * 10**6) / 25)
    assert both[0].min() == pytest.approx(min(energy), abs=1e-3)
    assert both[0].max() == pytest.approx(max(energy), abs=1e-3)


@pytest.mark.parametrize("field", ["illuminance", "footfall"])
def test_light_and_flows_are_averaged_as_numbers(city, tmp_path, field):
    _, both, _ = read_layer(raster(tmp_path, checkers(2, 12)), city, terms(field), band=Band())
    assert both[0].mean() == pytest.approx(7.0, rel=1e-4)


@pytest.mark.parametrize(
    ("field", "unit", "given", "ours"),
    [
        ("illuminance", "fc", 1.0, 10.7639),
        ("footfall", "persons/day", 240.0, 10.0),
        ("footfall", "persons/15min", 5.0, 20.0),
    ],
)
def test_units_become_ours(city, tmp_path, field, unit, given, ours):
    file = raster(tmp_path, np.full((N, N), given, np.float32))
    assert read_layer(file, city, terms(field, unit=unit), band=Band())[1][0] == pytest.approx(ours, rel=1e-5)


def test_classes_become_their_levels(city, tmp_path):
    codes = np.repeat(np.array([[1, 2, 9]], np.uint8), N, axis=0).repeat(54, axis=1)[:, :N]
    _, both, report = read_layer(raster(tmp_path, codes), city, terms(), band=Band(classes=((1, 57.5), (2, 62.5))))
    assert set(np.round(both[0][np.isfinite(both[0])], 3)) >= {57.5, 62.5}
    assert np.isnan(both[0][:, -8:]).all() and report.share < 0.75


def test_the_files_own_scale_counts_unless_another_is_given(city, tmp_path):
    file = raster(tmp_path, np.full((N, N), 50, np.uint8))
    with rasterio.open(file, "r+") as out:
        out.scales, out.offsets = (0.5,), (30.0,)
    assert read_layer(file, city, terms(), band=Band())[1][0] == pytest.approx(55.0)
    assert read_layer(file, city, terms(), band=Band(scale=1.0, offset=0.0))[1][0] == pytest.approx(50.0)


def test_an_error_of_its_own_by_cell(city, tmp_path):
    level = raster(tmp_path, np.full((N, N), 55, np.float32))
    error = np.full((N, N), 2.0, np.float32)
    error[:, : N // 2] = np.nan
    sd_file = raster(tmp_path, error, name="sd.tif")
    described, both, _ = read_layer(level, city, terms(sd=0.0), band=Band(), sd_file=sd_file)
    assert np.isnan(both[:, :, :16]).all() and np.all(both[1, :, 16:] == 2.0)
    assert "-" in described.digest


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unit": "sone"}, "unit 'sone'"),
        ({"sd": 0.0}, "without an error"),
        ({"field": "smell"}, "field 'smell'"),
        ({"kind": "guessed"}, "kind 'guessed'"),
        ({"use": "truth"}, "use 'truth'"),
        ({"indicator": ""}, "needs its indicator"),
        ({"valid_from": "soon"}, "valid_from 'soon'"),
        ({"valid_from": "2026-02-01", "valid_to": "2026-01-01"}, "before valid_from"),
        ({"origin": "simulated"}, "no simulated layer"),
        ({"hours": "20-06"}, "of footfall only"),
        ({"layer": "../x"}, "id '../x'"),
        ({"lamp_level": 0.0}, "lamp level 0"),
    ],
)
def test_what_is_stated_must_be_possible(city, tmp_path, change, sentence):
    file = raster(tmp_path, np.full((N, N), 55, np.float32))
    with pytest.raises(LayerError, match=sentence):
        read_layer(file, city, terms(**change), band=Band())


def test_values_that_no_place_has_are_refused(city, tmp_path):
    with pytest.raises(LayerError, match="check --unit"):
        read_layer(raster(tmp_path, np.full((N, N), 0.004, np.float32)), city, terms(), band=Band())
    few = np.full((N, N), 55, np.float32)
    few[:4] = 900
    _, both, report = read_layer(raster(tmp_path, few), city, terms(), band=Band())
    assert report.outside == 4 * N and np.nanmax(both[0]) == pytest.approx(55.0, abs=1e-3)


def test_a_raster_as_fine_as_a_person_is_refused(city, tmp_path):
    file = raster(tmp_path, np.full((N, N), 9, np.float32), Affine(0.4, 0, WEST, 0, -0.4, SOUTH + SIDE))
    with pytest.raises(LayerError, match="a person could be seen"):
        read_layer(file, city, terms("illuminance"), band=Band())


def test_a_coarse_raster_fills_its_cells_and_says_so(city, tmp_path):
    file = raster(tmp_path, np.array([[50, 60], [55, 65]], np.float32), Affine(160, 0, WEST, 0, -160, SOUTH + SIDE))
    _, both, report = read_layer(file, city, terms(), band=Band())
    assert both[0][0, 0] == pytest.approx(55) and both[0][-1, -1] == pytest.approx(60)
    assert "shows no streets" in report.text()


def test_a_kept_layer_is_read_back_and_removed(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    ramp = np.linspace(40, 70, N * N, dtype=np.float32).reshape(N, N)
    described, both, _ = read_layer(raster(tmp_path, ramp), town, terms(), band=Band())
    assert save_layer(town, described, both) and not save_layer(town, described, both)
    held, again = load_layer(town, "mine")
    assert held == described and np.array_equal(both, again)
    other, _, _ = read_layer(raster(tmp_path, ramp), town, terms(sd=5.0), band=Band())
    with pytest.raises(LayerError, match="remove it first"):
        save_layer(town, other, both)
    assert check_city(town.path) == []
    words = town.path / "places" / "layers" / "mine.json"
    words.write_text(words.read_text().replace('"cell_m": 10.0', '"cell_m": 20.0'))
    assert "another grid" in layer_problems(town)[0]
    with pytest.raises(CityError):
        load_layer(town, "mine")
    remove_layer(town, "mine")
    assert layers(town) == [] and check_city(town.path) == []


def test_the_command_imports_exports_and_removes_with_licence(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    file = raster(tmp_path, np.full((N, N), 55, np.float32))
    run = CliRunner().invoke
    options = [
        "--layer",
        "noise",
        "--indicator",
        "lden",
        "--kind",
        "modelled",
        "--unit",
        "dB",
        "--sd",
        "3",
        "--id",
        "end",
    ]
    words = ["--attribution", "The agency", "--licence", "CC BY 4.0", "--json"]
    done = json.loads(run(noctule.app, ["layer", "import", str(town.path), str(file), *options, *words]).stdout)
    assert done["use"] == "overlay" and done["share_of_grid"] == 1.0
    assert json.loads(run(noctule.app, ["layer", "list", str(town.path), "--json"]).stdout)[0]["layer"] == "end"
    out = tmp_path / "out.tif"
    assert run(noctule.app, ["layer", "export", str(town.path), "end", str(out)]).exit_code == 0
    with rasterio.open(out) as handed:
        assert handed.tags()["TIFFTAG_COPYRIGHT"] == "The agency; CC BY 4.0"
        assert handed.read(1)[0, 0] == pytest.approx(55.0) and handed.transform.f == SOUTH + SIDE
    assert run(noctule.app, ["layer", "remove", str(town.path), "end"]).exit_code == 0
    assert run(noctule.app, ["layer", "remove", str(town.path), "end"]).exit_code == 1
