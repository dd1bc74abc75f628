"""A layer that a city already owns: a raster of light, noise or footfall, measured or modelled by somebody, with error.

A layer is kept under `places/layers/` on the city's cells: `ID.tif` (value in the field's unit and sd in its
transformed unit, two bands) and `ID.json` (the fields of `LayerTerms`). With `use = background` it is weighed into the
background of its field; with `use = overlay`, the default, it is kept, listed and handed out and changes no map.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sensors.city import City
from sensors.errors import CityError, LayerError, gather
from sensors.night_image import file_digest
from sensors.raster import Band, Convert, read_onto_grid

FORMAT = 1
KINDS = ("measured", "modelled")
USES = ("overlay", "background")
ORIGINS = ("recorded", "simulated")
INDICATORS = ("laeq", "lden", "lnight")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_OUTSIDE = 0.1  # of the pixels out of range, and the unit or the band is another than stated
_HOURS = re.compile(r"([01]\d|2[0-3])-([01]\d|2[0-3])")


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """What a layer of a field may say: units and what they are of ours, range in our unit, how values are averaged."""

    unit: str
    units: dict[str, float]
    least: float
    most: float
    sd: tuple[float, float]  # what an error can be, in the transformed unit
    sd_unit: str
    to_mean: Convert | None = None
    from_mean: Convert | None = None


def _energy(level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.power(np.float32(10), level / np.float32(10)))


def _level(energy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.float32(10) * np.log10(energy))


FIELDS = {
    "illuminance": FieldSpec("lx", {"lx": 1.0, "fc": 10.7639}, 0.0, 5_000.0, (0.05, 3.0), "ln lx"),
    "noise": FieldSpec("dB", {"dB": 1.0, "dB(A)": 1.0}, 15.0, 120.0, (0.5, 20.0), "dB", _energy, _level),
    "footfall": FieldSpec(
        "persons/h", {"persons/h": 1.0, "persons/day": 1 / 24, "persons/15min": 4.0}, 0.0, 200_000.0, (0.05, 3.0),
        "ln persons/h",
    ),
}  # fmt: skip


class LayerTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What its owner states of a layer, and what came of the file.

    field : of FIELDS; kind : measured or modelled; unit : of the file; sd : in the field's transformed unit (ln lx,
    dB, ln persons/h), 0 where the layer brings a raster of it; indicator : of noise, what kind of level it is;
    hours : of footfall, local hours that it is the mean of, like 20-06, all without it; lamp_level : of illuminance,
    0..1 that the lamps gave; valid_from, valid_to : nights, '' open
    """

    layer: str
    field: str
    kind: str
    unit: str
    sd: float = 0.0
    use: str = "overlay"
    title: str = ""
    indicator: str = ""
    hours: str = ""
    lamp_level: float = 1.0
    valid_from: str = ""
    valid_to: str = ""
    origin: str = "recorded"
    attribution: str = ""
    licence: str = ""
    crs: str = ""
    west: float = 0.0
    south: float = 0.0
    cell_m: float = 0.0
    digest: str = ""
    format: int = FORMAT


@dataclasses.dataclass
class LayerReport:
    """What became of a raster."""

    file: str
    layer: str
    field: str
    unit: str
    cells: int
    share: float  # of the grid's cells
    pixel_m: float
    outside: int
    quantiles: tuple[float, float, float]  # 5, 50, 95 %
    use: str
    known: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "file": self.file,
            "layer": self.layer,
            "field": self.field,
            "unit": self.unit,
            "cells": self.cells,
            "share_of_grid": round(self.share, 4),
            "pixel_m": round(self.pixel_m, 3),
            "pixels_out_of_range": self.outside,
            "values_5_50_95": [round(value, 4) for value in self.quantiles],
            "use": self.use,
            "already_known": self.known,
            "notes": self.notes,
        }

    def text(self) -> str:
        """For people."""
        low, middle, high = self.quantiles
        lines = [
            f"{self.file}: {self.field} in {self.cells} cells, {self.share:.0%} of the grid, from pixels of "
            f"{self.pixel_m:.3g} m",
            f"  {middle:.3g} {self.unit} (5-95 %: {low:.3g}-{high:.3g})",
        ]
        if self.outside:
            lines.append(f"  {self.outside} pixels were out of range and count as unknown")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def read_layer(
    file: Path, city: City, terms: LayerTerms, *, band: Band, sd_file: Path | None = None, crs: str = ""
) -> tuple[LayerTerms, npt.NDArray[np.float32], LayerReport]:
    """Read a raster: the terms with what came of it, value and sd (2, northing, easting), and a report."""
    terms = _checked(terms, city, sd_file)
    spec = FIELDS[terms.field]
    scaled = msgspec.structs.replace(band, factor=spec.units[terms.unit])
    seen = read_onto_grid(
        file, city, scaled, least=spec.least, most=spec.most, to_mean=spec.to_mean, from_mean=spec.from_mean, crs=crs
    )
    known = np.isfinite(seen.value)
    if seen.pixels and seen.outside > _OUTSIDE * seen.pixels:
        raise LayerError(
            f"{file}: {seen.outside / seen.pixels:.0%} of its pixels are not between {spec.least:g} and {spec.most:g} "
            f"{spec.unit}; check --unit, --band, --scale and --nodata"
        )
    if not known.any():
        raise LayerError(f"{file} covers no cell of {city.name}; check its projection and that it is of this city")
    if sd_file is None:
        sd = np.where(known, np.float32(terms.sd), np.float32(np.nan)).astype(np.float32)
    else:
        sd = read_onto_grid(sd_file, city, Band(), least=spec.sd[0], most=spec.sd[1], crs=crs).value
        known &= np.isfinite(sd)
        if not known.any():
            raise LayerError(f"{sd_file} has no error between {spec.sd[0]:g} and {spec.sd[1]:g} {spec.sd_unit} here")
    both = np.stack([np.where(known, part, np.float32(np.nan)) for part in (seen.value, sd)])
    grid = city.settings.grid
    described = msgspec.structs.replace(
        terms, crs=city.crs, west=grid.west, south=grid.south, cell_m=grid.cell_m,
        digest=file_digest(file) if sd_file is None else f"{file_digest(file)}-{file_digest(sd_file)}",
    )  # fmt: skip
    low, middle, high = (float(q) for q in np.quantile(seen.value[known], (0.05, 0.5, 0.95)))
    report = LayerReport(
        str(file), terms.layer, terms.field, spec.unit, int(known.sum()), float(known.mean()), seen.pixel_m,
        seen.outside, (low, middle, high), terms.use,
    )  # fmt: skip
    if seen.pixel_m > 4 * grid.cell_m:
        report.notes.append(f"its pixels are coarser than the city's cells of {grid.cell_m:g} m: it shows no streets")
    return described, both, report


def save_layer(city: City, terms: LayerTerms, both: npt.NDArray[np.float32]) -> bool:
    """Keep a layer; False if it stands already, LayerError if another does under its id."""
    folder = _folder(city)
    if (folder / f"{terms.layer}.json").is_file():
        if _terms(folder / f"{terms.layer}.json") == terms:
            return False
        raise LayerError(
            f"{city.name} has a layer '{terms.layer}' with another content or other terms; remove it first with "
            f"'noctule layer remove {city.path} {terms.layer}', or choose another --id"
        )
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{terms.layer}.tif.new"
    write_geotiff(beside, city, terms, both)
    beside.replace(folder / f"{terms.layer}.tif")
    words = folder / f"{terms.layer}.json.new"
    words.write_bytes(msgspec.json.format(msgspec.json.encode(terms), indent=1) + b"\n")
    words.replace(folder / f"{terms.layer}.json")
    return True


def write_geotiff(out: Path, city: City, terms: LayerTerms, both: npt.NDArray[np.float32]) -> None:
    """A layer as a cloud-optimised GeoTIFF, north up, with its licence and what it is."""
    import rasterio
    from rasterio.transform import Affine

    spec = FIELDS[terms.field]
    north = terms.south + both.shape[1] * terms.cell_m
    profile = {
        "driver": "COG", "dtype": "float32", "count": 2, "height": both.shape[1], "width": both.shape[2],
        "crs": city.crs, "transform": Affine(terms.cell_m, 0, terms.west, 0, -terms.cell_m, north),
        "nodata": float("nan"), "compress": "deflate", "predictor": 3, "overview_resampling": "nearest",
    }  # fmt: skip
    with rasterio.open(out, "w", **profile) as file:
        file.write(both[:, ::-1])
        file.set_band_description(1, f"{terms.title or terms.field} ({spec.unit})")
        file.set_band_description(2, f"standard deviation ({spec.sd_unit})")
        file.update_tags(
            TIFFTAG_COPYRIGHT="; ".join(part for part in (terms.attribution, terms.licence) if part),
            NOCTULE_KIND=terms.kind,
            NOCTULE_ORIGIN=terms.origin,
            NOCTULE_VALID=f"{terms.valid_from}/{terms.valid_to}",
        )


def layers(city: City) -> list[str]:
    """Ids of the layers that the city owns."""
    return sorted(path.stem for path in _folder(city).glob("*.json"))


def layer_terms(city: City) -> list[LayerTerms]:
    """What was stated of each layer."""
    return [_terms(_folder(city) / f"{name}.json") for name in layers(city)]


def load_layer(city: City, name: str) -> tuple[LayerTerms, npt.NDArray[np.float32]]:
    """A layer: its terms, value and sd (2, northing, easting); CityError where it is damaged or of another grid."""
    import rasterio
    from rasterio.errors import RasterioError

    if name not in layers(city):
        raise LayerError(f"{city.name} has no layer '{name}'; it has {', '.join(layers(city)) or 'none'}")
    terms = _terms(_folder(city) / f"{name}.json")
    file = _folder(city) / f"{name}.tif"
    grid = city.settings.grid
    shape = (2, round((grid.north - grid.south) / grid.cell_m), round((grid.east - grid.west) / grid.cell_m))
    try:
        with rasterio.open(file, driver="GTiff") as source:
            both = source.read()[:, ::-1].astype(np.float32)
    except (RasterioError, OSError) as error:
        raise CityError(f"{file} cannot be read ({error}); import the layer again or remove it") from error
    placed = (terms.crs, terms.west, terms.south, terms.cell_m) == (city.crs, grid.west, grid.south, grid.cell_m)
    if not placed or both.shape != shape:
        raise CityError(f"{file} was made for another grid than city.toml has; import the layer again or remove it")
    return terms, both


def remove_layer(city: City, name: str) -> None:
    """Take a layer out of the city."""
    if name not in layers(city):
        raise LayerError(f"{city.name} has no layer '{name}'; it has {', '.join(layers(city)) or 'none'}")
    (_folder(city) / f"{name}.json").unlink()
    (_folder(city) / f"{name}.tif").unlink(missing_ok=True)


def layer_problems(city: City) -> list[str]:
    """Everything that is wrong with the city's own layers, a line each."""
    problems = []
    for name in layers(city):
        try:
            terms, _ = load_layer(city, name)
        except CityError as error:
            problems += str(error).splitlines()
            continue
        if terms.origin == "simulated" and not city.simulated:
            problems.append(f"places/layers/{name}: it is simulated, but city.toml lacks 'simulated = true'")
    return problems


def _checked(terms: LayerTerms, city: City, sd_file: Path | None) -> LayerTerms:
    problems = []
    if not _NAME.fullmatch(terms.layer):
        problems.append(f"id '{terms.layer[:60]}' must be lower-case letters, digits and single hyphens")
    for name, allowed in (("field", tuple(FIELDS)), ("kind", KINDS), ("use", USES), ("origin", ORIGINS)):
        if getattr(terms, name) not in allowed:
            problems.append(f"{name} '{getattr(terms, name)}' is none of {', '.join(allowed)}")
    if terms.origin == "simulated" and not city.simulated:
        problems.append(f"{city.name} is not declared simulated and takes no simulated layer")
    spec = FIELDS.get(terms.field)
    if spec is not None:
        if terms.unit not in spec.units:
            problems.append(f"unit '{terms.unit}' of {terms.field} is none of {', '.join(spec.units)}")
        if sd_file is None and not spec.sd[0] <= terms.sd <= spec.sd[1]:
            problems.append(
                f"sd {terms.sd:g} of {terms.field} must be {spec.sd[0]:g} to {spec.sd[1]:g} {spec.sd_unit} (--sd, or "
                "--sd-file with a raster of it): a layer without an error cannot be weighed"
            )
        if (terms.field == "noise") != (terms.indicator in INDICATORS):
            problems.append(f"a layer of noise needs its indicator ({', '.join(INDICATORS)}), others have none")
        if terms.hours and (terms.field != "footfall" or not _HOURS.fullmatch(terms.hours)):
            problems.append(f"hours '{terms.hours}' are of footfall only, whole local hours like 20-06")
    if not 0.05 <= terms.lamp_level <= 1.0:
        problems.append(f"lamp level {terms.lamp_level:g} must be between 0.05 and 1")
    nights: dict[str, date | None] = {}
    for name in ("valid_from", "valid_to"):
        try:
            nights[name] = date.fromisoformat(getattr(terms, name)) if getattr(terms, name) else None
        except ValueError:
            problems.append(f"{name} '{getattr(terms, name)}' must be a night like 2026-11-20")
    begins, ends = nights.get("valid_from"), nights.get("valid_to")
    if begins and ends and ends < begins:
        problems.append("valid_to lies before valid_from")
    if problems:
        raise LayerError(gather("layer", problems))
    return terms


def _terms(file: Path) -> LayerTerms:
    try:
        terms = msgspec.json.decode(file.read_bytes(), type=LayerTerms)
    except (OSError, msgspec.DecodeError) as error:
        raise CityError(f"{file} cannot be read ({error}); import the layer again or remove both its files") from error
    if terms.format != FORMAT:
        raise CityError(f"{file} has format {terms.format}, this version reads {FORMAT}; import the layer again")
    return terms


def _folder(city: City) -> Path:
    return city.path / "places" / "layers"
