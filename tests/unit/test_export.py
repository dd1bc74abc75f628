"""Laws of exports: other tools read back the same values at the same place and hour; no file forgets its cautions."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from pyproj import CRS

from analytics import atlas
from analytics.export import FORMATS, LAYERS, SIMULATED, export, step_named
from sensors.city import City
from sensors.errors import ExportError, StoreError
from sensors.night import Night
from tests.synthetic_city import make_city

META = {
    "model": "m1",
    "places": "p1",
    "settings": "0",
    "code": "noctule 0",
    "simulated": True,
    "attribution": ["Made up for tests"],
    "written": "2026-11-20T20:00:00.000Z",
    "records": 3,
    "cut": "2026-11-20T18:20:00.000Z",
}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    city = make_city(tmp_path_factory.mktemp("town"))
    for name, simulated in (("2026-11-20", True), ("2026-11-21", False)):
        night = Night.named(name, city.zone)
        pages = [(page(city, step), META | {"simulated": simulated}) for step in atlas.night_steps(city, night)[:3]]
        atlas.write_night(city, night, pages)
    return city


@pytest.fixture(scope="module")
def night(city: City) -> Night:
    return Night.named("2026-11-20", city.zone)


def page(city: City, step: np.datetime64) -> xr.Dataset:
    grid = city.settings.grid
    north = np.arange(grid.south + 5, grid.north, 10.0)
    east = np.arange(grid.west + 5, grid.east, 10.0)
    ramp = np.add.outer(np.arange(32.0), np.arange(32.0) / 100).astype("f4")[None]
    safety = np.rint(ramp) + 20
    safety[0, :4, :6] = np.nan
    units = {"illuminance": "lx", "noise": "dB", "footfall": "persons/h", "safety": "1/100", "safety_sd": "1/100"}
    layers = {
        "illuminance": ramp, "illuminance_sd": ramp / 50, "illuminance_nearest": np.full_like(ramp, np.inf),
        "illuminance_origin": np.full(ramp.shape, 2, "u1"), "noise": ramp + 40, "noise_sd": ramp / 10,
        "footfall": ramp * 10, "safety": safety, "safety_sd": safety / 10, "safety_evidence": safety / 100,
        "unreleased_secret": ramp,
    }  # fmt: skip
    axes = {"time": [step], "northing": north, "easting": east}
    data = {
        name: (("time", "northing", "easting"), values, {"units": units.get(name, "1"), "long_name": f"the {name}"})
        for name, values in layers.items()
    }
    return xr.Dataset(data, axes)


def test_netcdf_follows_cf_and_holds_the_values(city: City, night: Night, tmp_path: Path) -> None:
    file = export(city, night, "netcdf", tmp_path / "night.nc")
    with xr.open_dataset(file, engine="h5netcdf") as back:
        assert back.attrs["Conventions"].startswith("CF-1.")
        for name in ("illuminance", "noise", "safety"):
            assert back[name].attrs["grid_mapping"] == "crs"
            assert f"{name}_sd" in back[name].attrs["ancillary_variables"].split()
        assert CRS.from_cf(back["crs"].attrs) == CRS.from_user_input(city.crs)
        assert back["time"].attrs["bounds"] == "time_bnds"
        assert ((back["time_bnds"][:, 1] - back["time_bnds"][:, 0]) == np.timedelta64(15, "m")).all()
        assert (back["time_bnds"][:, 0] == back["time"]).all()
        assert back["safety"].attrs["units"] == "percent" and back["footfall"].attrs["units"] == "h-1"
        original, _ = atlas.open_night(city, night)
        assert np.array_equal(back["safety"].values, original["safety"].values, equal_nan=True)
        assert np.array_equal(back["time"].values.astype("datetime64[ms]"), original["time"].values)
        assert "unreleased_secret" not in back


def test_a_cog_is_north_up_with_nodata_bands_and_overviews(city: City, night: Night, tmp_path: Path) -> None:
    step = step_named(city, night, "20:15")
    file = export(city, night, "cog", tmp_path / "safety.tif", layer="safety", step=step)
    with rasterio.open(file) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.transform.e < 0 < raster.transform.a and raster.crs == rasterio.crs.CRS.from_string(city.crs)
        assert np.isnan(raster.nodata) and raster.count == 3
        assert raster.descriptions[0] == "the safety (percent)" and "safety_sd" in raster.descriptions[1]
        grid = city.settings.grid
        north_east = next(raster.sample([(grid.east - 5, grid.north - 5)]))
        south_west = next(raster.sample([(grid.west + 5, grid.south + 5)]))
        assert north_east[0] == 20 + 31 and np.isnan(south_west[0])
        assert raster.tags()["TIFFTAG_DATETIME"] == "2026:11:20 18:15:00"
    whole = export(city, night, "cog", tmp_path / "night.tif", layer="noise")
    with rasterio.open(whole) as raster:
        assert raster.count == 3 and raster.descriptions[1] == "2026-11-20T18:15:00.000Z"


def test_a_large_cog_has_overviews(tmp_path: Path) -> None:
    city = make_city(tmp_path / "town")
    night = Night.named("2026-11-20", city.zone)
    step = atlas.night_steps(city, night)[0]
    axes = {"time": [step], "northing": np.arange(600) * 10.0 + 5, "easting": np.arange(700) * 10.0 + 5}
    values = np.random.default_rng(0).random((1, 600, 700), "f4")
    wide = xr.Dataset({"noise": (("time", "northing", "easting"), values)}, axes)
    atlas.write_night(city, night, [(wide, META)])
    with rasterio.open(export(city, night, "cog", tmp_path / "wide.tif", layer="noise")) as raster:
        assert raster.overviews(1)


def test_zarr_reads_back_as_the_same_dataset(city: City, night: Night, tmp_path: Path) -> None:
    folder = export(city, night, "zarr", tmp_path / "night.zarr", layer="noise")
    back = xr.open_zarr(folder, consolidated=False, chunks=None)
    original, _ = atlas.open_night(city, night)
    assert np.array_equal(back["noise"].values, original["noise"].values)
    assert set(back.data_vars) - {"crs", "time_bnds"} == {"noise", "noise_sd"}


def test_tables_put_each_cell_where_it_is(city: City, night: Night, tmp_path: Path) -> None:
    step = step_named(city, night, "20:00")
    parquet = geopandas.read_parquet(
        export(city, night, "geoparquet", tmp_path / "n.parquet", layer="safety", step=step)
    )
    assert parquet.crs == CRS.from_user_input(city.crs) and (parquet.geometry.area == 100).all()
    assert len(parquet) == 32 * 32 - 24
    table = pd.read_csv(export(city, night, "csv", tmp_path / "n.csv", layer="safety", step=step))
    points = geopandas.GeoSeries.from_xy(table["longitude"], table["latitude"], crs="EPSG:4326").to_crs(city.crs)
    assert np.allclose(points.x, parquet.geometry.centroid.x, atol=0.2)
    assert table["safety"].tolist() == parquet["safety"].tolist()
    assert set(table["time"]) == {"2026-11-20T18:00:00Z"}
    meanings = json.loads((tmp_path / "n.csv.json").read_text())
    assert meanings["columns"]["safety"] == {"long_name": "the safety", "unit": "percent"}
    features = json.loads(export(city, night, "geojson", tmp_path / "n.geojson", layer="safety", step=step).read_text())
    first = features["features"][0]["geometry"]["coordinates"][0]
    assert first[0] == first[-1] and len(first) == 5 and -180 <= first[0][0] <= 180
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(first))
    assert area > 0, "RFC 7946: outer rings run counter-clockwise"
    assert len(features["features"]) == len(parquet)


@pytest.mark.parametrize("format", FORMATS)
def test_every_export_says_that_it_is_simulated_and_what_it_is_made_of(
    city: City, night: Night, tmp_path: Path, format: str
) -> None:
    out = export(city, night, format, tmp_path / f"out.{format}", layer="noise", step=step_named(city, night, "20:00"))
    words = said_in(out, format)
    for part in (SIMULATED, "Made up for tests", "m1", "not how safe a place is"):
        assert part in words, part
    real = Night.named("2026-11-21", city.zone)
    other = export(city, real, format, tmp_path / f"real.{format}", layer="noise")
    assert SIMULATED not in said_in(other, format)


def said_in(out: Path, format: str) -> str:
    if format == "netcdf":
        with xr.open_dataset(out, engine="h5netcdf") as back:
            return str(back.attrs)
    if format == "zarr":
        return str(xr.open_zarr(out, consolidated=False).attrs)
    if format == "cog":
        with rasterio.open(out) as raster:
            return str(raster.tags())
    if format == "geoparquet":
        return str(geopandas.read_parquet(out).attrs)
    sidecar = out.with_name(f"{out.name}.json")
    return out.read_text() + (sidecar.read_text() if sidecar.exists() else "")


def test_what_cannot_be_handed_out_is_refused_with_what_would_do(city: City, night: Night, tmp_path: Path) -> None:
    out = tmp_path / "x"
    with pytest.raises(ExportError, match="expected one of netcdf"):
        export(city, night, "shapefile", out)
    with pytest.raises(ExportError, match="expected one of safety"):
        export(city, night, "cog", out, layer="crime")
    with pytest.raises(ExportError, match="one layer"):
        export(city, night, "cog", out)
    with pytest.raises(ExportError, match="is not closed"):
        export(city, night, "cog", out, layer="noise", step=step_named(city, night, "23:00"))
    with pytest.raises(ExportError, match="neither a local time"):
        step_named(city, night, "late")
    with pytest.raises(StoreError, match="noctule replay"):
        export(city, night.next().next(), "netcdf", out)
    assert list(tmp_path.iterdir()) == []


def test_only_named_layers_exist(city: City) -> None:
    names = [name for group in LAYERS.values() for name in group]
    assert len(names) == len(set(names))
    assert not any("pseudonym" in name or "answer" in name for name in names)
