import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine
from typer.testing import CliRunner

import noctule
from sensors.city import City
from sensors.errors import CityError, LayerError
from sensors.light_survey import (
    SURVEY_COLUMNS,
    Terms,
    load_surveys,
    remove_survey,
    save_survey,
    survey_problems,
    surveys,
)
from sensors.lux_drive import read_lux_drive
from sensors.night_image import read_night_image
from sensors.places import check_city
from sensors.raster import Band
from tests.shared_data import shared_data
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city

TERMS = Terms(survey="drive", plane="horizontal", height_m=1.6, sd=0.2, gain_sd=0.15)
AERIAL = Terms(survey="flight", plane="aerial", height_m=0.0, sd=0.6, gain_sd=0.4)
HEADER = "time,lon,lat,lux,plate,driver\n"


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> City:
    return make_city(tmp_path_factory.mktemp("town"), simulated=False)


def lonlat(east: float, north: float) -> tuple[float, float]:
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(WEST + east, SOUTH + north)


def row(east=100.0, north=60.0, lux: object = 8.0, time="2026-11-20T22:07:31+02:00", rest="ABC-123,Kim") -> str:
    longitude, latitude = lonlat(east, north)
    return f"{time},{longitude:.7f},{latitude:.7f},{lux},{rest}\n"


def written(folder: Path, text: str | bytes, name="drive.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_cell_holds_the_median_of_its_readings(city, tmp_path):
    lux = [4.0, 5.0, 6.0, 300.0]  # the last is an oncoming car
    file = written(tmp_path, HEADER + "".join(row(101 + i, 62, value) for i, value in enumerate(lux)) + row(205, 62, 2))
    _, cells, report = read_lux_drive(file, city, TERMS)
    assert cells["lux"].tolist() == [5.5, 2.0]
    assert cells["readings"].tolist() == [4, 1]
    assert (cells["easting"] - WEST).tolist() == [105.0, 205.0]
    assert report.readings == 5 and report.cells == 2 and report.nights == ("2026-11-20", "2026-11-20")


def test_only_cells_quarters_of_an_hour_and_lux_are_kept(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    file = written(tmp_path, HEADER + row())
    terms, cells, report = read_lux_drive(file, town, TERMS)
    save_survey(town, terms, cells)
    assert report.ignored == ["plate", "driver"]
    kept = pd.read_parquet(town.path / "places" / "light-surveys" / "drive.parquet")
    assert set(kept.columns) == set(SURVEY_COLUMNS)
    assert kept["time"][0] == pd.Timestamp("2026-11-20T20:00")
    everything = b"".join(path.read_bytes() for path in (town.path / "places" / "light-surveys").iterdir())
    assert b"ABC-123" not in everything and b"Kim" not in everything


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda text: text.encode("utf-8-sig"), "bom.csv"),
        (lambda text: text.encode("utf-16"), "wide.csv"),
        (lambda text: text.replace("driver", "Fahrer Größe").encode("latin-1"), "latin.csv"),
        (lambda text: text.replace("\n", "\r").encode(), "mac.csv"),
        (lambda text: text.replace("\n", "\r\n").encode(), "windows.csv"),
        (lambda text: text.replace(",", ";").replace(".", ",").encode(), "comma.csv"),
        (lambda text: text.replace(",", "\t").encode(), "tab.csv"),
        (lambda text: gzip.compress(text.encode()), "packed.csv.gz"),
        (lambda text: ("\n\n" + text).encode(), "blank.csv"),
        (lambda text: text.replace("Kim\n", "Kim,more,and,more\n").encode(), "ragged.csv"),
        (lambda text: text.replace("time,lon", "time , lon").encode(), "spaced.csv"),
    ],
)
def test_a_file_reads_the_same_whatever_wrote_it(city, tmp_path, change, name):
    text = HEADER + "".join(row(100 + 3 * i, 60, 5 + i) for i in range(9))
    plain = read_lux_drive(written(tmp_path, text), city, TERMS)[1]
    other = read_lux_drive(written(tmp_path, change(text), name), city, TERMS)[1]
    pd.testing.assert_frame_equal(plain, other)


def test_each_wrong_row_is_left_out_and_counted(city, tmp_path):
    wrong = {
        "lux is no number": [row(lux="dark"), row(lux=""), row(lux="NaN"), row(lux="inf")],
        "lux below 0": [row(lux=-3)],
        "lux above 5000, which no street has by night": [row(lux=120_000)],
        "position is no number": ["2026-11-20T22:07:31+02:00,east,60.1,4,,\n"],
        "position is not on the globe": ["2026-11-20T22:07:31+02:00,924.9,60.1,4,,\n"],
        "position 0, 0: the receiver had no fix": ["2026-11-20T22:07:31+02:00,0,0,4,,\n"],
        "outside the city's grid": [row(east=9000)],
        "time cannot be read": [row(time="yesterday")],
        "time is before 1990": [row(time="1970-01-01T00:00:01Z")],
        "time has not come yet": [row(time="2199-11-20T22:07:31+02:00")],
        "the sun was not 6 degrees down": [row(time="2026-06-20T13:00:00+03:00")],
    }
    twice = [row(time="2026-11-20T22:09:31+02:00")] * 2
    file = written(tmp_path, HEADER + "".join("".join(rows) for rows in wrong.values()) + "".join(twice))
    _, cells, report = read_lux_drive(file, city, TERMS)
    expected = {reason: len(rows) for reason, rows in wrong.items()} | {"the row before, once more": 1}
    assert report.left_out == expected
    assert report.rows == sum(report.left_out.values()) + report.readings
    assert report.readings == 1 and len(cells) == 1


def test_a_file_without_times_needs_its_night(city, tmp_path):
    file = written(tmp_path, "x,y,lx\n" + f"{WEST + 100},{SOUTH + 60},8\n")
    with pytest.raises(LayerError, match="--when"):
        read_lux_drive(file, city, TERMS)
    _, cells, _ = read_lux_drive(file, city, TERMS, when="2026-11-20")
    assert cells["time"][0] == pd.Timestamp("2026-11-20T20:00")  # 22:00 in Helsinki
    assert cells["lux"][0] == 8.0


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("a,b,c\n1,2,3\n", {}, "needs a column lux"),
        ("", {}, "is empty"),
        ("lon,lat,lux\n", {}, "has no reading that can be taken"),
        ("lon,lat,lux\n1,2,3\n", {"brightness": "lux"}, "ours are"),
        ("lon,lat,lux\n1,2,3\n", {"lux": "E"}, "has no column 'E'"),
        ("lon,lon,lux\n1,2,3\n", {}, "two columns of one name"),
        ("\x00\x01\x02\n", {}, "not a text table"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(city, tmp_path, text, columns, sentence):
    with pytest.raises(LayerError, match=sentence):
        read_lux_drive(written(tmp_path, text), city, TERMS, columns=columns, when="2026-11-20")


def test_exchanged_longitude_and_latitude_are_told(city, tmp_path):
    longitude, latitude = lonlat(100, 60)
    file = written(tmp_path, f"lon,lat,lux\n{latitude},{longitude},5\n")
    with pytest.raises(LayerError, match="exchanged"):
        read_lux_drive(file, city, TERMS, when="2026-11-20")


def test_a_reading_at_the_end_of_the_instrument_is_at_least(city, tmp_path):
    text = HEADER + "".join(row(101 + 20 * i, 62, lux) for i, lux in enumerate([99.3, 12.0, 99.3]))
    terms = Terms(**{**{name: getattr(TERMS, name) for name in TERMS.__struct_fields__}, "clip_lux": 99.316})
    _, cells, report = read_lux_drive(written(tmp_path, text), city, terms)
    assert cells["at_least"].tolist() == [True, False, True] and report.at_least == 2
    said = HEADER.replace("driver", "saturated") + row(rest=",True") + row(105.0, rest=",False") + row(300.0, rest=",1")
    assert read_lux_drive(written(tmp_path, said), city, TERMS)[1]["at_least"].sum() == 1  # the median's own share
    assert read_lux_drive(written(tmp_path, said), city, terms)[1]["at_least"].sum() == 1  # said, and seen


def test_an_instrument_that_seems_to_end_is_told(city, tmp_path):
    text = HEADER + "".join(
        row(20 + i, 60, min(7 + 0.4 * i, 60.0), f"2026-11-20T22:{i % 60:02}:00+02:00") for i in range(250)
    )
    assert "--clip 60" in " ".join(read_lux_drive(written(tmp_path, text), city, TERMS)[2].notes)


def test_the_same_file_twice_changes_nothing_and_another_is_refused(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    file = written(tmp_path, HEADER + row())
    terms, cells, _ = read_lux_drive(file, town, TERMS)
    assert save_survey(town, terms, cells)
    assert not save_survey(town, terms, cells)
    other, more, _ = read_lux_drive(written(tmp_path, HEADER + row(lux=9)), town, TERMS)
    with pytest.raises(LayerError, match="remove it first"):
        save_survey(town, other, more)
    assert surveys(town) == ["drive"]
    assert remove_survey(town, "drive") == 1
    assert surveys(town) == [] and save_survey(town, other, more)
    with pytest.raises(LayerError, match="it has drive"):
        remove_survey(town, "flight")


def test_what_is_stated_must_be_possible(city, tmp_path):
    file = written(tmp_path, HEADER + row())
    wrong = Terms(survey="A b", plane="upward", height_m=40.0, sd=9.0, gain_sd=0.0, clip_lux=0.2, origin="simulated")
    with pytest.raises(LayerError) as told:
        read_lux_drive(file, city, wrong)
    for word in ("id 'A b'", "plane 'upward'", "sd 9", "gain_sd 0", "clip 0.2", "no simulated survey"):
        assert word in str(told.value)
    with pytest.raises(LayerError, match="height 40"):
        read_lux_drive(file, city, Terms(survey="a", plane="vertical", height_m=40.0, sd=0.2, gain_sd=0.2))


def test_city_check_sees_a_damaged_or_foreign_survey(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    terms, cells, _ = read_lux_drive(written(tmp_path, HEADER + row()), town, TERMS)
    save_survey(town, terms, cells)
    assert check_city(town.path) == []
    table = town.path / "places" / "light-surveys" / "drive.parquet"
    kept = table.read_bytes()
    table.write_bytes(kept[:40])
    assert "cannot be read" in check_city(town.path)[0]
    with pytest.raises(CityError):
        load_surveys(town)
    table.write_bytes(kept)
    words = town.path / "places" / "light-surveys" / "drive.json"
    words.write_text(words.read_text().replace(CRS, "EPSG:3879"))
    assert "the city's projection is" in survey_problems(town)[0]
    words.write_text('{"survey": "drive"}')
    assert len(survey_problems(town)) == 1


# --- images from the air ----------------------------------------------------------------------------------------------


def image(file: Path, values: np.ndarray, transform: Affine, crs: str | None = CRS, **profile) -> Path:
    stack = values if values.ndim == 3 else values[np.newaxis]
    with rasterio.open(
        file, "w", driver="GTiff", count=stack.shape[0], height=stack.shape[1], width=stack.shape[2],
        dtype=values.dtype, crs=crs, transform=transform, **profile,
    ) as out:  # fmt: skip
        out.write(stack)
    return file


def over_the_town(pixel_m: float, margin: float = 0.0) -> tuple[int, Affine]:
    n = round((SIDE + 2 * margin) / pixel_m)
    return n, Affine(pixel_m, 0, WEST - margin, 0, -pixel_m, SOUTH + SIDE + margin)


def test_an_even_image_is_even_light_in_every_cell(city, tmp_path):
    n, transform = over_the_town(2.0)
    file = image(tmp_path / "even.tif", np.full((n, n), 300, np.uint16), transform)
    band = Band(scale=0.02, offset=1.0)
    _, cells, report = read_night_image(file, city, AERIAL, band=band, when="2026-11-20T23:40")
    assert len(cells) == 32 * 32
    assert cells["lux"].to_numpy() == pytest.approx(7.0)
    assert report.nights == ("2026-11-20",) * 2


def test_a_cell_is_the_mean_of_its_pixels(city, tmp_path):
    n, transform = over_the_town(2.0)
    values = np.random.default_rng(0).uniform(0, 50, (n, n)).astype(np.float32)
    file = image(tmp_path / "rough.tif", values, transform)
    _, cells, _ = read_night_image(file, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")
    means = values.reshape(32, 5, 32, 5).mean(axis=(1, 3))[::-1]  # ours goes north
    assert cells["lux"].to_numpy().reshape(32, 32) == pytest.approx(means, rel=1e-5)


def test_a_turned_image_lies_where_it_says(city, tmp_path):
    n = 260
    middle = (WEST + SIDE / 2, SOUTH + SIDE / 2)
    turned = Affine.translation(*middle) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)
    turned = turned @ Affine.translation(-n / 2, -n / 2)
    column, row_ = np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5)
    east = turned.a * column + turned.b * row_ + turned.c
    north = turned.d * column + turned.e * row_ + turned.f
    values = (5 + (east - WEST) / SIDE * 10 + (north - SOUTH) / SIDE * 20).astype(np.float32)
    file = image(tmp_path / "turned.tif", values, turned)
    _, cells, _ = read_night_image(file, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")
    expected = 5 + (cells["easting"] - WEST) / SIDE * 10 + (cells["northing"] - SOUTH) / SIDE * 20
    assert len(cells) > 900
    assert np.abs(cells["lux"] - expected).max() < 0.15


def test_an_image_in_degrees_lies_where_it_says(city, tmp_path):
    west, south = lonlat(-20, -20)
    east, north = lonlat(SIDE + 20, SIDE + 20)
    n = 250
    transform = Affine((east - west) / n, 0, west, 0, -(north - south) / n, north)
    values = np.tile(np.linspace(0, 10, n, dtype=np.float32), (n, 1))
    file = image(tmp_path / "degrees.tif", values, transform, "EPSG:4326")
    _, cells, report = read_night_image(file, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    longitude, _ = to_degrees.transform(cells["easting"].to_numpy(), cells["northing"].to_numpy())
    expected = 10 * ((longitude - west) / (east - west) * n - 0.5) / (n - 1)
    assert np.abs(cells["lux"] - expected).max() < 0.03  # a pixel is 0.04 lx
    assert "pixels of 1.39 m" in " ".join(report.notes)


@pytest.mark.parametrize("pixel_m", [0.1, 0.32, 0.5])
def test_an_image_in_which_a_person_could_be_seen_is_refused(city, tmp_path, pixel_m):
    _, transform = over_the_town(pixel_m)
    part = image(tmp_path / "fine.tif", np.full((40, 40), 9, np.uint8), transform)
    with pytest.raises(LayerError, match="a person could be seen"):
        read_night_image(part, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")


def test_unknown_pixels_stay_unknown(city, tmp_path):
    n, transform = over_the_town(2.0)
    values = np.full((n, n), 4.0, np.float32)
    values[:, : n // 2] = -9999
    values[: n // 4] = np.nan
    file = image(tmp_path / "part.tif", values, transform, nodata=-9999)
    _, cells, _ = read_night_image(file, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")
    assert len(cells) == 16 * 24 and np.all(cells["lux"] == 4.0)
    assert cells["easting"].min() == WEST + 165.0 and cells["northing"].max() == SOUTH + 235.0


@pytest.mark.parametrize(
    ("make", "band", "when", "sentence"),
    [
        (lambda f, v, t: image(f, v, t, None), Band(scale=1.0), "2026-11-20", "--crs"),
        (lambda f, v, t: image(f, v, t), Band(), "2026-11-20", "--scale"),
        (lambda f, v, t: image(f, v, t), Band(scale=1.0), "", "--when"),
        (lambda f, v, t: image(f, v, t), Band(scale=1.0), "2026-06-20T14:00", "sun was not"),
        (lambda f, v, t: image(f, v, t), Band(scale=1.0, number=2), "2026-11-20", "no band 2"),
        (lambda f, v, t: image(f, v, t), Band(scale=1e9), "2026-11-20", "covers no cell"),
        (lambda f, v, t: image(f, v, Affine.translation(3e6, 0) @ t), Band(scale=1.0), "2026-11-20", "covers no cell"),
        (
            lambda f, v, t: written(f.parent, b"II*\x00" + b"\xff" * 400, f.name),
            Band(scale=1.0),
            "2026-11-20",
            "GeoTIFF",
        ),
        (lambda f, v, t: written(f.parent, b"<VRTDataset/>", f.name), Band(scale=1.0), "2026-11-20", "GeoTIFF"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_with_a_sentence(city, tmp_path, make, band, when, sentence):
    n, transform = over_the_town(2.0)
    file = make(tmp_path / "image.tif", np.full((n, n), 5, np.uint16), transform)
    with pytest.raises(LayerError, match=sentence):
        read_night_image(file, city, AERIAL, band=band, when=when)


def test_an_image_stored_as_one_giant_block_is_refused_unread(city, tmp_path):
    _, transform = over_the_town(2.0)
    file = tmp_path / "strip.tif"
    with rasterio.open(
        file, "w", driver="GTiff", count=1, height=20_000, width=20_000, dtype="uint8", crs=CRS, transform=transform,
        tiled=True, blockxsize=20_000, blockysize=20_000, SPARSE_OK=True, compress="deflate",
    ):  # fmt: skip
        pass
    with pytest.raises(LayerError, match="TILED=YES"):
        read_night_image(file, city, AERIAL, band=Band(scale=1.0), when="2026-11-20T23:40")


# --- the command, and the real files ----------------------------------------------------------------------------------


def test_the_command_checks_imports_lists_and_removes(tmp_path):
    town = make_city(tmp_path / "town", simulated=False)
    file = written(tmp_path, HEADER + row() + row(205))
    run = CliRunner().invoke
    base = ["light-survey"]
    assert run(noctule.app, [*base, "check", str(town.path), str(file)]).exit_code == 2  # the height is missing
    checked = run(noctule.app, [*base, "check", str(town.path), str(file), "--height", "1.6", "--json"])
    assert json.loads(checked.stdout)["cells"] == 2 and surveys(town) == []
    options = ["--height", "1.6", "--id", "autumn", "--attribution", "The council", "--licence", "CC BY 4.0", "--json"]
    done = json.loads(run(noctule.app, [*base, "import", str(town.path), str(file), *options]).stdout)
    again = json.loads(run(noctule.app, [*base, "import", str(town.path), str(file), *options]).stdout)
    assert not done["already_known"] and again["already_known"]
    listed = json.loads(run(noctule.app, [*base, "list", str(town.path), "--json"]).stdout)
    assert [one["survey"] for one in listed] == ["autumn"] and listed[0]["attribution"] == "The council"
    assert run(noctule.app, [*base, "remove", str(town.path), "autumn"]).exit_code == 0
    assert surveys(town) == []


def test_melbourne_readings_at_the_end_of_their_instrument(tmp_path):
    file = shared_data("melbourne/lighting/lux_survey_2014_sample.csv")
    town = box_city(tmp_path, "EPSG:28355", "Australia/Melbourne", pd.read_csv(file))
    terms, _, report = read_lux_drive(file, town, TERMS)
    saturated = int(pd.read_csv(file)["saturated"].sum())
    assert report.rows == report.readings == 254
    assert 0 < report.at_least <= saturated
    assert terms.first == "2014-09-16"
    assert report.ignored == ["ext_id", "part"]


def test_cambridge_drives_are_taken_whole(tmp_path):
    file = shared_data("cambridge-ma/lux_drive_logs.csv.gz")
    town = box_city(tmp_path, "EPSG:26919", "America/New_York", pd.read_csv(file))
    _, cells, report = read_lux_drive(file, town, TERMS, when="2014-07-15")
    assert report.readings == report.rows == 17_610 and not report.left_out
    assert 1_000 < len(cells) < 2_000


def box_city(path: Path, crs: str, zone: str, points: pd.DataFrame) -> City:
    """A town around some points, with nothing in it."""
    from sensors.city import CitySettings, GridSettings, write_settings

    east, north = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(points["lon"], points["lat"])
    west, south = (float(np.floor(side.min() / 100) * 100 - 100) for side in (np.asarray(east), np.asarray(north)))
    right, top = (float(np.ceil(side.max() / 100) * 100 + 100) for side in (np.asarray(east), np.asarray(north)))
    grid = GridSettings(west=west, south=south, east=right, north=top)
    write_settings(path, CitySettings(format=1, id="box", name="Box", zone=zone, crs=crs, grid=grid))
    return City.open(path)
