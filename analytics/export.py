"""Exports: released pages of a night in the formats that other tools read, with licence, provenance and cautions.

netcdf      NetCDF-4, CF-1.11: grid mapping, bounds of time, mean and sd linked as ancillary variables
zarr        the same dataset as Zarr format 3
cog         cloud-optimised GeoTIFF of one layer, north up: with a step its mean, sd and what goes with it as bands,
            without a step one band a step
geoparquet  GeoParquet 1.1 of cells (squares in the city's projection), one row a cell and step
csv, geojson  cells of one layer at WGS 84 longitude and latitude, at most six decimals

Only what `LAYERS` names ever leaves, from closed pages and never from `now`. While anything behind a page is simulated
every export says so in itself, since files lose their context first.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analytics.atlas import Meta, open_night
from analytics.closing import code_version, step_length
from analytics.views import GAP, GAPS, GROUP, OF, RESIDENTS
from sensors.city import City
from sensors.errors import ExportError
from sensors.night import Night, parse_rfc3339, rfc3339

if TYPE_CHECKING:
    import geopandas

SIMULATED = "SIMULATED: not what people here said"
CAUTION = "Modelled: how safe people report feeling, not how safe a place is; no measure of crime."
MOST_FEATURES = 200_000  # of a GeoJSON or CSV; a browser or a spreadsheet opens no more

# What leaves, by layer: the value, its standard deviation, and what else belongs to it.
LAYERS: dict[str, tuple[str, ...]] = {
    "safety": (
        "safety", "safety_sd", "safety_evidence", "safety_score", "safety_support", "safety_exceeds", "safety_n",
        "safety_hatched",
    ),
    "groups": tuple(
        f"{OF}{view}{end}" for view in (RESIDENTS, *GROUP, *(GAP + group for group in GAPS)) for end in ("", "_sd")
    ),
    "illuminance": (
        "illuminance", "illuminance_sd", "illuminance_min", "illuminance_origin", "illuminance_nearest",
        "illuminance_measured", "illuminance_simulated",
    ),
    "noise": ("noise", "noise_sd", "noise_origin", "noise_nearest", "noise_measured", "noise_simulated"),
    "footfall": (
        "footfall", "footfall_sd", "footfall_origin", "footfall_nearest", "footfall_measured", "footfall_simulated",
    ),
    "goes": ("goes_light", "goes_people", "goes_noise", "goes_hour", "goes_presence", "goes_view"),
}  # fmt: skip

# UDUNITS does not know persons or probits, and writes hundredths as percent.
_UNITS = {"persons/h": "h-1", "probit": "1", "1/100": "percent"}
_ORIGIN_BIT_SIMULATED = 4


def export(
    city: City,
    night: Night,
    format: str,
    out: Path,
    *,
    layer: str | None = None,
    step: np.datetime64 | None = None,
    level: str = "atlas",
) -> Path:
    """Write closed pages of a night to a file (or, for Zarr, a folder); returns where.

    Parameters
    ----------
    format : one of FORMATS
    layer : one of LAYERS; all without it, where the format can hold them
    step : start of one step, UTC; all closed steps without it
    level : 'atlas' or 'public'
    """
    if format not in FORMATS:
        raise ExportError(f"format '{format}' is not known; expected one of {', '.join(FORMATS)}")
    if layer is not None and layer not in LAYERS:
        raise ExportError(f"layer '{layer}' is not known; expected one of {', '.join(LAYERS)}")
    if out.exists() and format != "zarr" and out.is_dir():
        raise ExportError(f"{out} is a folder; name a file to write")
    pages, meta = open_night(city, night, level)
    pages = _chosen(pages, meta, layer, step)
    job = _Job(city, night, meta, pages, layer, step)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.new")
    _remove(beside)
    try:
        FORMATS[format](job, beside)
    except BaseException:
        _remove(beside)
        raise
    _remove(out)
    beside.replace(out)
    return out


@dataclass(frozen=True)
class _Job:
    """What is to be written."""

    city: City
    night: Night
    meta: Meta
    pages: xr.Dataset
    layer: str | None
    step: np.datetime64 | None

    @property
    def simulated(self) -> bool:
        """Whether anything behind the pages is simulated, as their making or their cells' origin says."""
        if self.meta["simulated"]:
            return True
        origins = [name for name in self.pages.data_vars if str(name).endswith("_origin")]
        return any(bool((self.pages[name].values & _ORIGIN_BIT_SIMULATED).any()) for name in origins)

    def words(self) -> dict[str, str]:
        """Licence, provenance and cautions, as plain text by name."""
        settings = self.city.settings
        digests = {entry["step"]: entry["digest"][:16] for entry in self.meta["closed"]}
        shown = [rfc3339(moment) for moment in self.pages["time"].values]
        words = {
            "title": f"{self.city.name}, night of {self.night.name}: released pages",
            "institution": settings.purpose.responsible,
            "source": "Noctule: city sensors, lamps, streets and survey answers, fused",
            "comment": CAUTION,
            "license": settings.licence or "not stated by the city",
            "attribution": "; ".join(self.meta["attribution"]),
            "history": f"{self.meta['written']} closed, version {self.meta['version']}; exported with {code_version()}",
            "model_digest": str(self.meta["model"]),
            "places_digest": str(self.meta["places"]),
            "code_version": str(self.meta["code"]),
            "page_digests": "; ".join(f"{step} {digests[step]}" for step in shown if step in digests),
        }
        return words | ({"simulated": SIMULATED} if self.simulated else {})


def _chosen(pages: xr.Dataset, meta: Meta, layer: str | None, step: np.datetime64 | None) -> xr.Dataset:
    names = [name for key, group in LAYERS.items() if layer in (None, key) for name in group if name in pages]
    if not names:
        raise ExportError(
            f"the pages hold no layer '{layer}'; they hold {', '.join(sorted(map(str, pages.data_vars)))}"
        )
    if step is not None:
        closed = [entry["step"] for entry in meta["closed"]]
        if rfc3339(step) not in closed:
            raise ExportError(f"step {rfc3339(step)} is not closed; the night has {closed[0]} to {closed[-1]}")
        pages = pages.isel(time=[closed.index(rfc3339(step))])
    return pages[names].load()


# --- arrays -----------------------------------------------------------------------------------------------------------


def cf_dataset(job: _Job) -> xr.Dataset:
    """The pages as a CF dataset: units that UDUNITS knows, a grid mapping, bounds of time, mean and sd linked."""
    from pyproj import CRS

    out = job.pages.copy()
    starts = out["time"].values.astype("datetime64[ms]")
    bounds = np.stack([starts, starts + step_length(job.city)], axis=1)
    out["time_bnds"] = (("time", "bounds"), bounds.astype("datetime64[ns]"))
    out = out.assign_coords(time=("time", starts.astype("datetime64[ns]")))
    out["time"].attrs = {"standard_name": "time", "long_name": "start of the step", "axis": "T", "bounds": "time_bnds"}
    for axis, letter in (("easting", "x"), ("northing", "y")):
        out[axis].attrs = {
            "standard_name": f"projection_{letter}_coordinate",
            "long_name": f"{axis}, centre of the cell",
            "units": "m",
            "axis": letter.upper(),
        }
    crs = CRS.from_user_input(job.city.crs)
    out["crs"] = ((), np.int32(0), {**crs.to_cf(), "spatial_ref": crs.to_wkt()})
    for name in job.pages.data_vars:
        attributes = dict(out[name].attrs)
        attributes["units"] = _UNITS.get(attributes.get("units", "1"), attributes.get("units", "1"))
        attributes["grid_mapping"] = "crs"
        if str(name).endswith("_origin"):
            attributes.pop("units")
            attributes["flag_masks"] = np.array(attributes.get("flag_masks", [1, 2, 4]), np.uint8)
        if "flag_values" in attributes:
            attributes["flag_values"] = np.array(attributes["flag_values"], np.uint8)
        companions = _companions(str(name), job.pages)
        if companions:
            attributes["ancillary_variables"] = " ".join(companions)
        out[name].attrs = attributes
    out.attrs = {"Conventions": "CF-1.11", **job.words()}
    return out


def _companions(name: str, pages: xr.Dataset) -> list[str]:
    for group in LAYERS.values():
        if name == group[0] and name in LAYERS:
            return [other for other in group[1:] if other in pages]
    return []


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    time = {"units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "int64", "_FillValue": None}
    encoding: dict[str, dict[str, Any]] = {"time": dict(time), "time_bnds": dict(time)}
    encoding |= {axis: {"_FillValue": None} for axis in ("easting", "northing")}
    return encoding


def _write_netcdf(job: _Job, out: Path) -> None:
    dataset = cf_dataset(job)
    encoding = _encoding(dataset)
    for name in job.pages.data_vars:
        encoding[str(name)] = {"zlib": True, "complevel": 4, "shuffle": True}
        if dataset[name].dtype.kind == "f":
            encoding[str(name)]["_FillValue"] = np.float32(np.nan)
    dataset.to_netcdf(out, engine="h5netcdf", encoding=encoding)


def _write_zarr(job: _Job, out: Path) -> None:
    dataset = cf_dataset(job)
    for name in dataset.variables:
        dataset[name].encoding = {}
        dataset[name].attrs = {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in dataset[name].attrs.items()
        }
    dataset.to_zarr(out, zarr_format=3, consolidated=False, encoding=_encoding(dataset))


def _write_cog(job: _Job, out: Path) -> None:
    import rasterio
    from rasterio.transform import Affine

    if job.layer is None or job.layer == "goes":
        raise ExportError(
            f"a COG holds one layer; name it with --layer ({', '.join(key for key in LAYERS if key != 'goes')})"
        )
    grid = job.city.settings.grid
    pages = job.pages
    names = [str(name) for name in pages.data_vars]
    if job.step is not None:
        bands = [pages[name].values[0].astype(np.float32) for name in names]
        titles = [f"{pages[name].attrs.get('long_name', name)} ({_unit(pages[name])})" for name in names]
    else:
        bands = list(pages[names[0]].values.astype(np.float32))
        titles = [rfc3339(moment) for moment in pages["time"].values]
    cell = float(pages["easting"].values[1] - pages["easting"].values[0]) if pages.sizes["easting"] > 1 else grid.cell_m
    west, north = float(pages["easting"].values[0]) - cell / 2, float(pages["northing"].values[-1]) + cell / 2
    profile = {
        "driver": "COG",
        "dtype": "float32",
        "count": len(bands),
        "height": pages.sizes["northing"],
        "width": pages.sizes["easting"],
        "crs": job.city.crs,
        "transform": Affine(cell, 0, west, 0, -cell, north),
        "nodata": float("nan"),
        "compress": "deflate",
        "predictor": 3,
        "blocksize": 256,
        "overviews": "AUTO",
        "overview_resampling": "nearest",  # an average would invent values between the released ones
    }
    with rasterio.open(out, "w", **profile) as file:
        for number, (band, title) in enumerate(zip(bands, titles, strict=True), 1):
            file.write(band[::-1], number)  # ours goes north, a GeoTIFF south
            file.set_band_description(number, title)
        moment = pages["time"].values[0].astype("datetime64[s]").item()
        words = {f"NOCTULE_{key.upper()}": value for key, value in job.words().items()}
        file.update_tags(
            TIFFTAG_DATETIME=f"{moment:%Y:%m:%d %H:%M:%S}",
            TIFFTAG_COPYRIGHT=f"{job.words()['attribution']}; {job.words()['license']}",
            TIFFTAG_IMAGEDESCRIPTION=f"{SIMULATED}. {CAUTION}" if job.simulated else CAUTION,
            **words,
        )


# --- tables -----------------------------------------------------------------------------------------------------------


def cells(job: _Job) -> geopandas.GeoDataFrame:
    """One row a cell and step that has a value: time, what the layers say there, and the cell as a square."""
    import geopandas
    import pandas as pd
    import shapely

    pages = job.pages
    names = [str(name) for name in pages.data_vars]
    first = [pages[name].values for name in names if pages[name].dtype.kind == "f"]
    known = np.zeros(pages[names[0]].shape, bool)
    for values in first:
        known |= np.isfinite(values)
    moment, row, column = np.nonzero(known)
    columns: dict[str, Any] = {"time": pages["time"].values.astype("datetime64[ms]")[moment]}
    for name in names:
        values = pages[name].values[moment, row, column]
        columns[name] = np.where(np.isinf(values), np.nan, values) if values.dtype.kind == "f" else values
    if job.simulated:
        columns["note"] = SIMULATED
    east, north = pages["easting"].values[column], pages["northing"].values[row]
    half = (pages["easting"].values[1] - pages["easting"].values[0]) / 2
    squares = shapely.box(east - half, north - half, east + half, north + half)
    table = pd.DataFrame(columns)
    table["time"] = table["time"].dt.tz_localize("UTC")
    return geopandas.GeoDataFrame(table, geometry=squares, crs=job.city.crs)


def _write_geoparquet(job: _Job, out: Path) -> None:
    table = cells(job)
    table.attrs = job.words()
    table.to_parquet(out, index=False, write_covering_bbox=True)


def _write_csv(job: _Job, out: Path) -> None:
    table = _of_one_layer(job)
    middle = table.geometry.centroid.to_crs("EPSG:4326")
    table.insert(1, "longitude", middle.x.round(6))
    table.insert(2, "latitude", middle.y.round(6))
    table["time"] = table["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    table.drop(columns="geometry").to_csv(out, index=False, float_format="%.6g")
    meanings = {
        name: {"long_name": variable.attrs.get("long_name", ""), "unit": _unit(variable)}
        for name, variable in job.pages.data_vars.items()
    }
    sidecar = out.with_name(out.name.removeprefix(".").removesuffix(".new") + ".json")
    sidecar.write_text(json.dumps({**job.words(), "columns": meanings}, indent=1), "utf-8")


def _write_geojson(job: _Job, out: Path) -> None:
    table = _of_one_layer(job)
    table["time"] = table["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    projected = table.to_crs("EPSG:4326")
    features = []
    properties = projected.drop(columns="geometry").to_dict("records")
    for square, values in zip(projected.geometry, properties, strict=True):
        ring = [
            [round(float(east), 6), round(float(north), 6)] for east, north in square.normalize().exterior.coords[::-1]
        ]
        plain = {key: _json(value) for key, value in values.items()}
        features.append(
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": plain}
        )
    out.write_text(
        json.dumps({"type": "FeatureCollection", **job.words(), "features": features}, allow_nan=False), "utf-8"
    )


def _of_one_layer(job: _Job) -> geopandas.GeoDataFrame:
    if job.layer is None:
        raise ExportError(f"this format holds one layer; name it with --layer ({', '.join(LAYERS)})")
    table = cells(job)
    if len(table) > MOST_FEATURES:
        raise ExportError(
            f"{len(table)} cells are more than the {MOST_FEATURES} that such a file is useful for; name a step with "
            "--step, or take geoparquet or netcdf"
        )
    return table


def _json(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _unit(variable: xr.DataArray) -> str:
    unit = str(variable.attrs.get("units", "1"))
    return _UNITS.get(unit, unit)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


FORMATS: dict[str, Callable[[_Job, Path], None]] = {
    "netcdf": _write_netcdf,
    "cog": _write_cog,
    "zarr": _write_zarr,
    "geoparquet": _write_geoparquet,
    "csv": _write_csv,
    "geojson": _write_geojson,
}


def step_named(city: City, night: Night, text: str) -> np.datetime64:
    """The step of a night that a person names: '23:15' local, or a moment with its zone."""
    try:
        return parse_rfc3339(text) if "T" in text else night.time_of(text)
    except ValueError as error:
        raise ExportError(
            f"step '{text}' is neither a local time like 23:15 nor a moment like 2026-11-20T21:15Z"
        ) from error
