"""Makes a city folder from a draft: geometries repaired, projected and clipped, tables finished, devices numbered.

Site numbers are never given twice: a rebuild keeps the number of every device that stands where it stood, and retires
the others.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

from sensors.city import City, CitySettings, GridSettings, read_settings, write_settings
from sensors.draft import Draft, RecordedHistory, Say, quiet
from sensors.errors import CityError
from sensors.lanterns import REQUIRED_CLASS_OF_STREET, assumed_lanterns, with_cabinets, with_defaults
from sensors.places import PLACES, empty_place, save_place
from sensors.sections import sections_of
from sensors.siting import virtual_devices

_SAME_PLACE_M = 1.0  # a device nearer than this to where it was has not moved
_PLACES_WITH_LINES = ("streets", "traffic")
_PLACES_WITH_POINTS = ("lamps", "venues", "stops")
_FILL: dict[str, Any] = {"int": 0, "float": np.nan, "str": "", "bool": True}
_DTYPES = {"int": "int64", "float": "float32", "str": "object", "bool": "bool", "time": "datetime64[ms]"}
_NARROW = {"closes_min": "int16"}


@dataclass(frozen=True)
class Built:
    """What became of a draft."""

    path: Path
    settings: CitySettings
    counts: dict[str, int]  # rows of each table
    devices: dict[str, int]  # by quantity
    repaired: dict[str, int]
    dropped: dict[str, int]
    seconds: float

    def lines(self) -> list[str]:
        """What was built, for people."""
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)
        said = [f"{self.settings.name} is in {self.path}: {counts} ({self.seconds:.1f} s)"]
        said += [f"  {count:,} repaired geometries of {name}" for name, count in self.repaired.items() if count]
        said += [f"  {count:,} left out of {reason}" for reason, count in self.dropped.items()]
        return [*said, *(f"  {text}" for text in self.settings.attribution)]

    def to_dict(self) -> dict[str, Any]:
        """As `noctule city build --json` prints it."""
        grid = self.settings.grid
        shape = [round((grid.north - grid.south) / grid.cell_m), round((grid.east - grid.west) / grid.cell_m)]
        return {
            "city": self.settings.id,
            "path": str(self.path),
            "crs": self.settings.crs,
            "zone": self.settings.zone,
            "simulated": self.settings.simulated,
            "grid": {
                "cell_m": grid.cell_m,
                "west": grid.west,
                "south": grid.south,
                "east": grid.east,
                "north": grid.north,
                "shape": shape,
            },
            "places": self.counts,
            "devices": self.devices,
            "repaired": self.repaired,
            "dropped": self.dropped,
            "attribution": list(self.settings.attribution),
            "seconds": round(self.seconds, 2),
        }


def build_city(out: Path, draft: Draft, *, rebuild: bool = False, say: Say = quiet) -> Built:
    """Write the folder `out`; refuses a folder that is already a city unless `rebuild`."""
    began = time.perf_counter()
    require_free(out, rebuild=rebuild)
    _checked_settings(
        draft, GridSettings(west=0.0, south=0.0, east=draft.cell_m, north=draft.cell_m, cell_m=draft.cell_m)
    )
    layers = {name: _projected(name, layer, draft) for name, layer in draft.layers.items()}
    grid = _grid(layers, draft)
    settings = _checked_settings(draft, grid)
    say(f"grid of {_cells(grid)} cells of {grid.cell_m:g} m in {draft.crs}")
    tables = _tables(layers, draft, grid, say)
    say("devices")
    sites = _sites(layers.get("devices"), tables, draft)
    if rebuild and (out / "city.toml").exists():
        sites = _keep_numbers(City.open(out).places("sites"), sites)
    tables["sites"] = _finished("sites", sites, draft.crs)
    for name, table in tables.items():
        if len(table) or not PLACES[name].optional:
            save_place(out, name, table)
    if draft.history is not None:
        _lay_history(out, draft.history)
    write_settings(out, settings)
    say(f"{out} written")
    return Built(
        path=out,
        settings=settings,
        counts={name: len(table) for name, table in sorted(tables.items())},
        devices=_devices_by_quantity(tables["sites"]),
        repaired=dict(sorted((key, count) for key, count in draft.repaired.items() if count)),
        dropped=dict(sorted((key, count) for key, count in draft.dropped.items() if count)),
        seconds=time.perf_counter() - began,
    )


def require_free(out: Path, *, rebuild: bool = False) -> None:
    """Refuse a folder that is a city already, unless it is to be made anew."""
    if out.exists() and not out.is_dir():
        raise CityError(f"'{out}' is a file, not a folder")
    if (out / "city.toml").exists() and not rebuild:
        raise CityError(f"'{out}' is already a city; choose another folder, or --rebuild to make its places anew")


def grid_around(bounds: tuple[float, float, float, float], cell_m: float) -> GridSettings:
    """The smallest grid with edges at whole multiples of the cell that covers west, south, east, north (metres).

    >>> grid_around((385424.1, 6671459.4, 386466.6, 6673136.1), 10.0).east
    386470.0
    """
    west, south = (float(np.floor(edge / cell_m) * cell_m) for edge in bounds[:2])
    east, north = (float(np.ceil(edge / cell_m) * cell_m) for edge in bounds[2:])
    return GridSettings(west=west, south=south, east=east, north=north, cell_m=cell_m)


def _projected(name: str, layer: geopandas.GeoDataFrame, draft: Draft) -> geopandas.GeoDataFrame:
    """The layer in the city's projection with valid geometries; what had to be repaired is counted."""
    frame = layer[~(layer.geometry.isna() | layer.geometry.is_empty)]
    draft.dropped[f"{name}: no geometry"] += len(layer) - len(frame)
    frame = frame.to_crs(draft.crs).reset_index(drop=True)
    if not len(frame):
        return frame
    geometry = frame.geometry.to_numpy().copy()
    broken = ~shapely.is_valid(geometry)
    geometry[broken] = [_repair(name, shape) for shape in geometry[broken]]
    frame = frame.set_geometry(geopandas.GeoSeries(geometry, crs=draft.crs))
    lost = frame.geometry.isna() | frame.geometry.is_empty | ~np.isfinite(frame.geometry.bounds).all(axis=1)
    draft.repaired[name] += int((broken & ~lost.to_numpy()).sum())
    draft.dropped[f"{name}: beyond repair"] += int(lost.sum())
    return frame[~lost].reset_index(drop=True)


def _repair(name: str, shape: shapely.Geometry) -> shapely.Geometry | None:
    """The valid parts of a geometry that are of the kind its table holds."""
    wanted = {"streets": 1, "traffic": 1, "buildings": 2, "areas": 2}.get(name, 0)
    parts = [
        part
        for part in shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
        if shapely.get_dimensions(part) == wanted
    ]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _grid(layers: dict[str, geopandas.GeoDataFrame], draft: Draft) -> GridSettings:
    if draft.area is None:
        boxes = [layer.total_bounds for name, layer in layers.items() if len(layer) and name != "areas"]
        stacked = np.array(boxes)
        bounds = (*stacked[:, :2].min(axis=0), *stacked[:, 2:].max(axis=0))
    else:
        bounds = Transformer.from_crs("EPSG:4326", draft.crs, always_xy=True).transform_bounds(*draft.area, 21)
    if not np.isfinite(bounds).all():
        raise CityError(f"the city's area cannot be projected to {draft.crs}; is that the projection of this place?")
    return grid_around(bounds, draft.cell_m)


def _checked_settings(draft: Draft, grid: GridSettings) -> CitySettings:
    settings = CitySettings(
        format=1,
        id=draft.id,
        name=draft.name,
        zone=draft.zone,
        crs=draft.crs,
        grid=grid,
        simulated=draft.simulated,
        attribution=tuple(draft.attribution),
        licence=draft.licence,
    )
    with tempfile.TemporaryDirectory() as folder:  # the checks are those of reading, before any table is made
        write_settings(Path(folder), settings)
        try:
            return read_settings(Path(folder) / "city.toml")
        except CityError as error:
            raise CityError(str(error).replace(f"{folder}/city.toml", "the city's settings")) from error


def _cells(grid: GridSettings) -> str:
    return f"{round((grid.east - grid.west) / grid.cell_m)} x {round((grid.north - grid.south) / grid.cell_m)}"


def _tables(
    layers: dict[str, geopandas.GeoDataFrame], draft: Draft, grid: GridSettings, say: Say
) -> dict[str, geopandas.GeoDataFrame]:
    """Every table but `sites`, clipped to the grid and with all its columns."""
    box = shapely.box(grid.west, grid.south, grid.east, grid.north)
    inside = {name: _inside(name, layer, box, draft) for name, layer in layers.items() if name != "devices"}
    tables: dict[str, geopandas.GeoDataFrame] = {}
    for name in ("streets", "buildings", "venues", "stops", "areas", "traffic"):
        tables[name] = _finished(name, inside.get(name, empty_place(name, draft.crs)), draft.crs)
    say(f"{len(tables['streets'])} streets, {len(tables['buildings'])} buildings")
    if not len(tables["streets"]):
        raise CityError("no street lies in the city's area; is the projection of the source right?")
    tables["sections"] = _finished("sections", sections_of(tables["streets"], REQUIRED_CLASS_OF_STREET), draft.crs)
    say(f"{len(tables['sections'])} sections")
    tables["lamps"] = _lamps(inside.get("lamps", empty_place("lamps", draft.crs)), tables, draft, box)
    say(f"{len(tables['lamps'])} lamps")
    return tables


def _inside(name: str, layer: geopandas.GeoDataFrame, box: shapely.Polygon, draft: Draft) -> geopandas.GeoDataFrame:
    """What lies in the area: lines and areas cut at its edge, buildings kept whole where they touch it."""
    touching = layer[shapely.intersects(layer.geometry.to_numpy(), box)].reset_index(drop=True)
    draft.dropped[f"{name}: outside the area"] += len(layer) - len(touching)
    if name == "areas":
        return touching.set_geometry(touching.geometry.intersection(box))
    if name in _PLACES_WITH_LINES and len(touching):
        cut = touching.set_geometry(touching.geometry.intersection(box)).explode(ignore_index=True)
        return cut[(cut.geom_type == "LineString") & (cut.length > 0.5)].reset_index(drop=True)
    return touching


def _finished(name: str, frame: geopandas.GeoDataFrame, crs: str) -> geopandas.GeoDataFrame:
    """All columns of the table in their types; what the source did not say is '', NaN or the running number."""
    columns: dict[str, Any] = {}
    for column, kind in PLACES[name].columns.items():
        if column == PLACES[name].key and kind == "int" and column not in frame:
            columns[column] = np.arange(len(frame), dtype=np.int64)
            continue
        values = frame[column] if column in frame else pd.Series([_FILL.get(kind, pd.NaT)] * len(frame), dtype=object)
        if kind == "str":
            values = values.fillna("").astype(str)
        dtype: Any = _NARROW.get(column, _DTYPES[kind])
        columns[column] = values.astype(dtype).to_numpy()
    if name == "sites":
        columns["site"] = columns["site"].astype(np.uint32)
    return geopandas.GeoDataFrame(columns, geometry=frame.geometry.to_numpy(), crs=crs)


def _lamps(
    published: geopandas.GeoDataFrame,
    tables: dict[str, geopandas.GeoDataFrame],
    draft: Draft,
    box: shapely.Polygon,
) -> geopandas.GeoDataFrame:
    """The lamps of the source and those assumed along its streets, with defaults, cabinets and circuits."""
    streets = tables["streets"]
    published = published.assign(source=draft.lamp_source)
    parts = [published]
    if draft.lanterns:
        known = shapely.get_coordinates(published.geometry.to_numpy())
        lanterns = assumed_lanterns(streets, draft.lanterns, known)
        indoors = shapely.STRtree(tables["buildings"].geometry.to_numpy()).query(
            lanterns.geometry.to_numpy(), predicate="intersects"
        )[0]
        stands = shapely.intersects(lanterns.geometry.to_numpy(), box)
        stands[indoors] = False
        parts.append(lanterns[stands])
    frame = geopandas.GeoDataFrame(pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True))
    frame = _finished("lamps", with_defaults(frame.set_crs(draft.crs, allow_override=True), streets), draft.crs)
    return with_cabinets(frame)


def _sites(
    known: geopandas.GeoDataFrame | None, tables: dict[str, geopandas.GeoDataFrame], draft: Draft
) -> geopandas.GeoDataFrame:
    """Devices of the source first, then the virtual ones, without numbers yet where there is no earlier folder."""
    parts = [] if known is None else [known]
    invented = virtual_devices(tables, draft.virtual)
    if draft.simulated and len(invented):
        parts.append(invented)
    if not parts:
        return empty_place("sites", draft.crs)
    frame = geopandas.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=draft.crs)
    frame["plane"] = frame.get("plane", pd.Series([""] * len(frame))).replace("", "none").fillna("none")
    twice = frame.duplicated(["device", "quantity"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise CityError(f"device '{row.device}' stands more than once for {row.quantity}")
    frame["site"] = np.arange(1, len(frame) + 1)
    return frame


def _keep_numbers(before: geopandas.GeoDataFrame, now: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The register after a rebuild: same number for the same device at the same place, new ones at the end."""
    built = pd.Timestamp.now(tz="UTC").tz_localize(None).floor("s")
    valid = before[before.valid_to.isna()].set_index(["device", "quantity"])
    numbers = np.zeros(len(now), np.int64)
    moved = np.zeros(len(now), bool)
    for row, (device, quantity, place) in enumerate(zip(now.device, now.quantity, now.geometry, strict=True)):
        if (device, quantity) in valid.index:
            old = valid.loc[(device, quantity)]
            moved[row] = old.geometry.distance(place) > _SAME_PLACE_M
            numbers[row] = 0 if moved[row] else old.site
    fresh = numbers == 0
    numbers[fresh] = int(before.site.max() if len(before) else 0) + 1 + np.arange(int(fresh.sum()))
    kept = now.assign(site=numbers)
    if "valid_from" not in kept:
        kept["valid_from"] = pd.NaT
    kept["valid_from"] = pd.to_datetime(kept["valid_from"]).where(~moved, built)
    old_rows = before[~before.site.isin(numbers)].copy()
    old_rows["valid_to"] = old_rows["valid_to"].fillna(built)
    return geopandas.GeoDataFrame(pd.concat([old_rows, kept], ignore_index=True).sort_values("site"), crs=now.crs)


def _lay_history(out: Path, history: RecordedHistory) -> None:
    """Records as the council published them, their recipe, and which night to show: `history/history.toml`."""
    folder = out / "history"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(history.file, folder / history.file.name)
    recipe = history.recipe
    if recipe.endswith(".toml"):
        shutil.copyfile(recipe, folder / Path(recipe).name)
        recipe = Path(recipe).name
    entries = {"file": history.file.name, "recipe": recipe, "demo_night": history.demo_night}
    lines = ["format = 1", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items())]
    (folder / "history.toml").write_text("\n".join(lines) + "\n", "utf-8")


def _devices_by_quantity(sites: geopandas.GeoDataFrame) -> dict[str, int]:
    valid = sites[sites.valid_to.isna()]
    return {str(quantity): int(count) for quantity, count in valid.groupby("quantity").device.nunique().items()}
