"""The lamp work-list of a morning: a row a fault, and one row a cabinet outage however many lamps it takes.

What is said of a fault comes from `ingest.lamp_faults`; what stands beside it from the city's own tables:

    nights       nights in a row in which the fault was found, up to NIGHTS_BACK
    light_lost_lm  lumens x maintenance factor of its lamps x the share that is missing; empty for a silent controller
    passages     people who pass within the mapped hours of a usual night: the median of the last FOOTFALL_NIGHTS nights
                 of the nearest counter within 150 m, else of all counters on streets of the same kind, else unknown

Nothing is invented: `passages_from` names the counter, or says that it is a median, or 'unknown'.

The lighting department's own system (CMS) knows which faults it is working on. Its export, a CSV with the columns
asset_id, state, opened, ticket, is read with the list, and what has an open ticket is not reported again. An asset is
a lamp's asset_id (its lamp id where it has none) or, for an outage, the cabinet or circuit.

What people told a reporting app (`ingest.lamp_reports`) stands beside the fault of the lamp, with who answers it. A
lamp that only people found is a row of its own, 'reported': telemetry does not confirm it, or there is none.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingest.archive import night_records, nights
from ingest.lamp_faults import KINDS, LAMP_QUANTITIES, OUTAGE, SILENT, LampFault, find
from ingest.lamp_reports import Answering, LampReports, answering, lamp_reports, open_reports
from sensors.city import City
from sensors.errors import CityError, ExportError
from sensors.flags import usable
from sensors.night import Night, night_of, rfc3339
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from sensors.register import SiteRegister

if TYPE_CHECKING:
    import geopandas
    import pandas as pd

NIGHTS_BACK = 14  # nights over which a standing fault is followed back
FOOTFALL_NIGHTS = 7
NEAR_M = 150.0  # beyond it a counter says little of who passes a lamp
STREET_M = 40.0  # a lamp further than this from any street is on none
COVERED = 0.75  # share of the mapped hours that a counter must have counted (coverage rule, sensing.md B1)
CLASS_COUNTERS = 2  # one counter is no median of its kind of street
UNKNOWN = "unknown"
REPORTED = "reported"  # the kind of a fault that people told and no controller did
_FORMULA = ("=", "+", "-", "@", "\t")  # what a spreadsheet takes for the beginning of one (OWASP, CSV injection)
FORMATS = ("table", "csv", "geojson", "gpkg")
TICKET_COLUMNS = ("asset_id", "state", "opened", "ticket")
# What CMS exports call a ticket on which nobody works any more; any other state is open.
CLOSED = frozenset(
    ("closed", "done", "resolved", "cancelled", "canceled", "rejected", "fixed", "completed", "repaired")
)
COLUMNS = (
    "kind",
    "state",
    "asset_id",
    "lamp",
    "lamps",
    "device",
    "cabinet",
    "circuit",
    "street",
    "since",
    "nights",
    "light_lost_lm",
    "passages",
    "passages_from",
    "evidence",
    "ticket",
    "ticket_state",
    "reports",
    "reported_since",
    "answered_by",
    "answering",
    "origin",
    "easting",
    "northing",
    "longitude",
    "latitude",
)


@dataclass(frozen=True)
class Ticket:
    """What the CMS says of an asset."""

    asset_id: str
    state: str
    opened: str
    ticket: str

    @property
    def open(self) -> bool:
        """Whether somebody still works on it."""
        return self.state.strip().lower() not in CLOSED


def work_list(
    city: City,
    night: Night,
    *,
    until: np.datetime64,
    tickets: Mapping[str, Ticket] | None = None,
    everything: bool = False,
) -> geopandas.GeoDataFrame:
    """The faults of a night, with the columns COLUMNS and a point in the city's coordinates.

    until : UTC; what was received by then, at most the end of the night
    tickets : by asset, from `read_tickets`
    everything : also faults that ended, and those with an open ticket

    CityError where nothing was heard of any lamp.
    """
    end = min(until.astype("datetime64[ms]"), night.end)
    sites = _in_use(city, end)
    lamps = city.places("lamps")
    records = night_records(city, night)
    records = records[np.isin(records["site"], sites["site"].to_numpy(np.int64))]
    records = np.concatenate([records, _last_heard(city, night, sites, records)])
    told = lamp_reports(city)
    reported = open_reports(told, end)
    if not len(records) and not reported:  # an empty list would say that all lamps are well
        raise CityError(
            f"{city.path}: no lamp controller was heard in the night of {night.name} or the {NIGHTS_BACK} before it, "
            "so nothing can be said of its lamps"
        )
    faults = find(records, sites, lamps, until=end, lonlat=city.centre_lonlat())
    faults += _only_reported(reported, faults, sites, lamps, set(np.unique(records["site"]).tolist()))
    if not everything:
        faults = [fault for fault in faults if fault.standing or fault.kind == OUTAGE]
    rows = _Rows.of(city, night, sites, faults, reported, answering(told))
    table = rows.table(_nights_standing(city, night, sites, faults), tickets or {})
    return table if everything else table[table["state"] != "ticket"].reset_index(drop=True)


def latest_night(city: City, now: np.datetime64) -> Night:
    """The night whose mapped hours began last: this morning's list is of the night that is ending."""
    night = night_of(now, city.zone)
    return night if now >= night.time_of(city.settings.night.from_) else night.previous()


def read_tickets(file: Path) -> dict[str, Ticket]:
    """The CMS's tickets by asset; of several of one asset an open one counts, else the last.

    ExportError says what is wrong with the file.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            sample = source.read(4096)
            source.seek(0)
            delimiter = ";" if sample.split("\n", 1)[0].count(";") > sample.split("\n", 1)[0].count(",") else ","
            reader = csv.DictReader(source, delimiter=delimiter)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            missing = [name for name in TICKET_COLUMNS if name not in names]
            if missing:
                raise ExportError(
                    f"{file} lacks {', '.join(missing)}; tickets need the columns {', '.join(TICKET_COLUMNS)}"
                )
            found: dict[str, Ticket] = {}
            for row in reader:
                ticket = Ticket(*((row[names[name]] or "").strip() for name in TICKET_COLUMNS))
                before = found.get(ticket.asset_id)
                if ticket.asset_id and (before is None or ticket.open or not before.open):
                    found[ticket.asset_id] = ticket
            return found
    except OSError as error:
        raise ExportError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ExportError(f"{file} is not UTF-8 text ({error})") from error
    except csv.Error as error:
        raise ExportError(f"{file} is no table of tickets ({error}); a quote may not be closed") from error


def write_list(table: geopandas.GeoDataFrame, format_: str, out: Path) -> None:
    """Write the list beside and rename it: CSV in both coordinates, GeoJSON in WGS 84, GeoPackage in the city's."""
    beside = out.with_name(f".new-{out.name}")  # GDAL minds the ending
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if format_ == "csv":
            beside.write_text(as_csv(table), "utf-8")
        elif format_ == "geojson":
            beside.write_text(as_geojson(table), "utf-8")
        else:
            beside.unlink(missing_ok=True)
            table.to_file(beside, driver="GPKG", layer="lamp_faults", engine="pyogrio")
        beside.replace(out)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def as_csv(table: geopandas.GeoDataFrame) -> str:
    """The list as CSV with a line of names; cells that a spreadsheet would take for a formula are quoted with '."""
    import pandas as pd

    plain = pd.DataFrame(table[list(COLUMNS)]).copy()
    for name in plain.columns[[not pd.api.types.is_numeric_dtype(plain[name]) for name in plain.columns]]:
        # A lone carriage return is no line's end to pandas, which leaves it unquoted, and one to every reader.
        texts = [str(text).replace("\r", " ") for text in plain[name]]
        plain[name] = [f"'{text}" if text[:1] in _FORMULA else text for text in texts]
    return str(plain.to_csv(index=False, lineterminator="\n"))


def as_geojson(table: geopandas.GeoDataFrame) -> str:
    """The list as GeoJSON (RFC 7946: WGS 84, longitude first)."""
    return str(table.to_crs("EPSG:4326").to_json(drop_id=True, ensure_ascii=False))


def as_text(table: geopandas.GeoDataFrame) -> str:
    """The list for people, at a width that a terminal shows."""
    if table.empty:
        return "no lamp fault to report"
    lines = []
    for row in table.to_dict("records"):
        asset = row["asset_id"] or row["lamp"]
        what = f"{row['lamps']} lamps of {row['circuit'] or row['cabinet']}" if row["kind"] == OUTAGE else asset
        passed = UNKNOWN if np.isnan(row["passages"]) else f"{row['passages']:.0f} ({row['passages_from']})"
        lost = "unknown" if np.isnan(row["light_lost_lm"]) else f"{row['light_lost_lm']:.0f} lm"
        nights = f"{row['nights']} night{'s' * (row['nights'] != 1)}"
        state = "" if row["state"] == "standing" else f" [{row['state']}]"
        street, cabinet = row["street"] or "no named street", row["cabinet"] or "unknown"
        lines.append(f"{row['kind']:<14} {what}, {street}, cabinet {cabinet}{state}")
        lines.append(f"{'':<14} since {row['since'][:16]}Z, {nights}; light lost {lost}; passages a night {passed}")
        ticket = f"; ticket {row['ticket']} ({row['ticket_state']})" if row["ticket"] else ""
        lines.append(f"{'':<14} {row['evidence']}{ticket}")
        if row["reports"]:
            by = row["answered_by"] or "nobody that the app names"
            often = f"{row['reports']} report{'s' * (row['reports'] != 1)} of people since {row['reported_since'][:10]}"
            lines.append(f"{'':<14} {often}; answered by {by} ({row['answering']})")
    return "\n".join(lines)


def _only_reported(
    reported: Mapping[str, LampReports],
    faults: Sequence[LampFault],
    sites: pd.DataFrame,
    lamps: pd.DataFrame,
    heard: set[int],
) -> list[LampFault]:
    """Lamps that people told of and in which no controller found a standing fault.

    heard : sites that reported
    """
    known = {lamp for fault in faults if fault.standing for lamp in fault.lamps}
    place = {str(lamp): row for row, lamp in enumerate(lamps["lamp"])}
    devices: dict[str, list[tuple[str, int]]] = {}
    for device, site, ids in zip(sites["device"], sites["site"], sites["lamps"], strict=True):
        for lamp in str(ids).split(";"):
            devices.setdefault(lamp, []).append((str(device), int(site)))
    found = []
    for lamp, told in reported.items():
        if lamp in known or lamp not in place:
            continue
        row = lamps.iloc[place[lamp]]
        of = devices.get(lamp, [])
        speaks = any(site in heard for _, site in of)
        evidence = "its controller finds no fault" if speaks else "no controller says anything of it"
        found.append(
            LampFault(
                kind=REPORTED,
                device=of[0][0] if of else "",
                lamps=(lamp,),
                sites=tuple(site for _, site in of),
                cabinet=_text(row["cabinet"]),
                circuit=_text(row["circuit"]),
                since=told.first.astype("datetime64[ms]"),
                confirmed=told.first.astype("datetime64[ms]"),
                until=np.datetime64("NaT", "ms"),
                evidence=f"{told.words}, not confirmed by telemetry: {evidence}",
                lost=float("nan"),
            )
        )
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _in_use(city: City, end: np.datetime64) -> pd.DataFrame:
    """The lamp controllers' sites of the register that are in use then."""
    import pandas as pd

    table = SiteRegister.load(city).table
    moment = pd.Timestamp(end)
    used = (table["valid_from"].isna() | (table["valid_from"] < moment)) & (
        table["valid_to"].isna() | (table["valid_to"] >= moment)
    )
    return pd.DataFrame(table[used & table["quantity"].isin(LAMP_QUANTITIES)])


def _last_heard(city: City, night: Night, sites: pd.DataFrame, records: Records) -> Records:
    """The last reports of controllers that were not heard in the night, from the nights before."""
    device_of = dict(zip(sites["site"].astype(int), sites["device"], strict=True))
    heard = {device_of.get(site) for site in np.unique(records["site"]).tolist()}
    missing = {site for site, device in device_of.items() if device not in heard}
    parts = [empty_records()]
    for date in [date for date in reversed(nights(city)) if date < night.date][:NIGHTS_BACK]:
        if not missing:
            break
        before = night_records(city, date)
        before = before[np.isin(before["site"], list(missing)) & usable(before["flags"])]
        # In order of time: the last of each site is enough to say since when it is silent.
        _, last = np.unique(before["site"][::-1], return_index=True)
        parts.append(before[::-1][last])
        missing -= {int(site) for site in np.unique(before["site"])}
    return np.concatenate(parts)


@dataclass
class _Standing:
    """Since when a fault stands, and for how many nights in a row, this one included."""

    since: np.datetime64
    nights: int


def _nights_standing(city: City, night: Night, sites: pd.DataFrame, faults: Sequence[LampFault]) -> list[_Standing]:
    """Each fault followed back through the nights before."""
    standing = [
        _Standing(fault.since, max(1, (night.date - night_of(fault.since, city.zone).date).days + 1))
        for fault in faults
    ]
    # Silence goes back to the last report by itself.
    following = {
        index
        for index, fault in enumerate(faults)
        if fault.kind not in (OUTAGE, SILENT, REPORTED) and standing[index].nights == 1
    }
    held = set(nights(city))
    for back in range(1, NIGHTS_BACK):
        date = night.date - timedelta(days=back)
        if not following or date not in held:
            break
        # Their whole cabinets, since a lamp is judged beside its circuit.
        cabinets = {faults[index].cabinet for index in following}
        wanted = _of_cabinets(city, sites, cabinets) | {site for index in following for site in faults[index].sites}
        records = night_records(city, date)
        records = records[np.isin(records["site"], sorted(wanted))]
        part = sites[sites["site"].isin(wanted)]
        until = Night(date, city.zone).end
        found = find(records, part, city.places("lamps"), until=until, lonlat=city.centre_lonlat())
        there = {(fault.kind, fault.device): fault.since for fault in found if fault.standing}
        following = {index for index in following if (faults[index].kind, faults[index].device) in there}
        for index in following:
            standing[index].nights += 1
            standing[index].since = there[faults[index].kind, faults[index].device]
    return standing


def _of_cabinets(city: City, sites: pd.DataFrame, cabinets: set[str]) -> set[int]:
    lamps = city.places("lamps")
    cabinet_of = dict(zip(lamps["lamp"].astype(str), lamps["cabinet"], strict=True))
    first = sites["lamps"].str.split(";").str[0]
    return {
        int(site)
        for site, lamp in zip(sites["site"], first, strict=True)
        if cabinet_of.get(lamp) in cabinets and cabinet_of.get(lamp)
    }


@dataclass(frozen=True)
class _Rows:
    """The faults, with what the tables of places say of them."""

    city: City
    faults: Sequence[LampFault]
    lamps: pd.DataFrame
    row_of: dict[str, int]  # lamp -> row of `lamps`
    street: npt.NDArray[np.object_]  # name, by row of `lamps`
    passages: Passages
    origin: dict[int, str]  # by site
    reported: Mapping[str, LampReports]  # by lamp
    answering: Mapping[str, Answering]  # by who answers

    @classmethod
    def of(
        cls,
        city: City,
        night: Night,
        sites: pd.DataFrame,
        faults: Sequence[LampFault],
        reported: Mapping[str, LampReports],
        answering: Mapping[str, Answering],
    ) -> _Rows:
        """Only the lamps that some fault concerns are looked at."""
        table = city.places("lamps")
        wanted = {lamp for fault in faults for lamp in fault.lamps}
        lamps = table[table["lamp"].astype(str).isin(wanted)].reset_index(drop=True)
        names, kinds = _streets_of(city, lamps)
        points = np.column_stack([lamps.geometry.x, lamps.geometry.y]).reshape(-1, 2)
        return cls(
            city,
            faults,
            lamps,
            {str(lamp): row for row, lamp in enumerate(lamps["lamp"])},
            names,
            Passages.at(city, night, points, kinds),
            dict(zip(sites["site"].astype(int), sites["origin"], strict=True)),
            reported,
            answering,
        )

    def table(self, standing: Sequence[_Standing], tickets: Mapping[str, Ticket]) -> geopandas.GeoDataFrame:
        """One row a fault; outages first, then by kind and by who passes."""
        import geopandas
        import pandas as pd

        rows = [self._row(fault, standing[index], tickets) for index, fault in enumerate(self.faults)]
        table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("longitude", "latitude")])
        order = {OUTAGE: -1} | {kind: place for place, kind in enumerate((*KINDS, REPORTED)) if kind != OUTAGE}
        table["place"] = [order[kind] for kind in table["kind"]]
        table["passages"] = table["passages"].astype(np.float64)
        table["light_lost_lm"] = table["light_lost_lm"].astype(np.float64)
        table = table.sort_values(["place", "passages", "since"], ascending=[True, False, True], na_position="last")
        points = geopandas.points_from_xy(
            table["easting"].astype(np.float64), table["northing"].astype(np.float64), crs=self.city.crs
        )
        framed = geopandas.GeoDataFrame(table.drop(columns="place"), geometry=points, crs=self.city.crs)
        globe = framed.geometry.to_crs("EPSG:4326")
        framed["longitude"], framed["latitude"] = globe.x.round(7), globe.y.round(7)
        return framed[[*COLUMNS, "geometry"]].reset_index(drop=True)

    def _row(self, fault: LampFault, standing: _Standing, tickets: Mapping[str, Ticket]) -> dict[str, Any]:
        rows = [self.row_of[lamp] for lamp in fault.lamps if lamp in self.row_of]
        lamps = self.lamps.iloc[rows]
        assets = [text for text in lamps["asset_id"].astype(str) if text]
        busiest = self.passages.busiest(rows)
        if fault.kind == OUTAGE:
            named = [fault.circuit or fault.cabinet]
        else:
            named = [*assets, *(lamp for lamp in fault.lamps if not assets)]
        ticket = next((tickets[name] for name in named if name in tickets and tickets[name].open), None)
        ticket = ticket or next((tickets[name] for name in named if name in tickets), None)
        working = ticket is not None and ticket.open
        streets = list(dict.fromkeys(str(self.street[row]) for row in rows if self.street[row]))
        told = [self.reported[lamp] for lamp in fault.lamps if lamp in self.reported]
        by = next((one.agency for one in told if one.agency), "")
        of_sites = self.origin.get(fault.sites[0], "") if fault.sites else ""
        return {
            "kind": fault.kind,
            "state": "ticket" if working else "standing" if fault.standing else "ended",
            "asset_id": ";".join(assets),
            "lamp": ";".join(fault.lamps),
            "lamps": len(fault.lamps),
            "device": fault.device,
            "cabinet": fault.cabinet,
            "circuit": fault.circuit,
            "street": ", ".join(streets[:3]) + (f" and {len(streets) - 3} more" if len(streets) > 3 else ""),
            "since": rfc3339(standing.since),
            "nights": standing.nights,
            "light_lost_lm": self._light_lost(lamps, fault.lost),
            "passages": busiest[0],
            "passages_from": busiest[1],
            "evidence": fault.evidence,
            "ticket": "" if ticket is None else ticket.ticket,
            "ticket_state": "" if ticket is None else ticket.state,
            "reports": sum(one.count for one in told),
            "reported_since": rfc3339(min(one.first for one in told)) if told else "",
            "answered_by": by,
            "answering": self._answering(told, by),
            "origin": told[0].origin if fault.kind == REPORTED else of_sites,
            "easting": float(lamps.geometry.x.mean().round(2)) if len(lamps) else np.nan,
            "northing": float(lamps.geometry.y.mean().round(2)) if len(lamps) else np.nan,
        }

    def _answering(self, told: Sequence[LampReports], by: str) -> str:
        """What a service says of its answers, and how it answered so far; '' where nobody told anything."""
        if not told:
            return ""
        notice = next((one.notice for one in told if one.notice), "")
        return "; ".join(part for part in (notice, self.answering[by].words if by in self.answering else "") if part)

    def _light_lost(self, lamps: pd.DataFrame, share: float) -> float:
        """Maintained lumens that are missing at full output; NaN where the asset does not say."""
        if not len(lamps) or np.isnan(share):
            return float("nan")
        factor = lamps["mf"].fillna(self.city.settings.lighting.maintenance_factor)
        return float((lamps["lumens"] * factor).sum(skipna=False) * share)


@dataclass(frozen=True)
class Passages:
    """Who passes some places in a usual night; arrays are (n_places,)."""

    count: npt.NDArray[np.float64]  # NaN where nobody knows
    source: list[str]

    @classmethod
    def at(cls, city: City, night: Night, points: npt.NDArray[np.float64], kinds: npt.NDArray[np.object_]) -> Passages:
        """From the counters of the city and the nights before this one.

        points : (n_places, 2) easting and northing, metres
        kinds : kind of the street of each place, '' for none
        """
        from scipy.spatial import cKDTree

        unknown = cls(np.full(len(points), np.nan), [UNKNOWN] * len(points))
        sites = SiteRegister.load(city).table
        sites = sites[(sites["quantity"] == "people_flow") & sites["valid_to"].isna()].reset_index(drop=True)
        if not len(sites) or not len(points):
            return unknown
        usual = _usual_nights(city, night, sites["site"].to_numpy(np.int64))
        known = np.isfinite(usual)
        sites, usual = sites[known].reset_index(drop=True), usual[known]
        if not len(sites):
            return unknown
        where = np.column_stack([sites.geometry.x, sites.geometry.y])
        distance, nearest = cKDTree(where).query(points)
        _, counter_kinds = _streets_of(city, sites)
        count, source = unknown.count.copy(), list(unknown.source)
        for place, (far, counter, kind) in enumerate(zip(distance, nearest, kinds, strict=True)):
            if far <= NEAR_M:
                count[place] = usual[counter]
                source[place] = f"counter {sites['device'][counter]} at {far:.0f} m"
                continue
            alike = counter_kinds == kind
            if kind and np.count_nonzero(alike) >= CLASS_COUNTERS:
                count[place] = float(np.median(usual[alike]))
                source[place] = f"median of {np.count_nonzero(alike)} counters on streets of kind {kind}"
        return cls(np.round(count), source)

    def busiest(self, rows: Sequence[int]) -> tuple[float, str]:
        """Of several places the one that most people pass: one person passes many lamps of a street."""
        known = [row for row in rows if np.isfinite(self.count[row])]
        if not known:
            return float("nan"), UNKNOWN
        row = max(known, key=lambda each: float(self.count[each]))
        return float(self.count[row]), self.source[row]


def _usual_nights(city: City, night: Night, sites: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """People who pass each counter between `night.from` and `night.to`: median of the last nights that have counts."""
    settings = city.settings.night
    seen: list[npt.NDArray[np.float64]] = []
    for date in [date for date in reversed(nights(city)) if date <= night.date][: FOOTFALL_NIGHTS + 1]:
        records = night_records(city, date)
        records = records[
            (records["quantity"] == QUANTITIES["people_flow"].code)
            & np.isin(records["site"], sites)
            & usable(records["flags"])
        ]
        held = Night(date, city.zone)
        begin, end = held.time_of(settings.from_), held.time_of(settings.to)
        lasted = records["duration_s"].astype(np.float64)
        starts = records["time"] - (lasted * 1000).astype("timedelta64[ms]")
        inside = (starts >= begin) & (records["time"] <= end)
        row = np.searchsorted(np.sort(sites), records["site"][inside])
        people = np.bincount(row, records["value"][inside], minlength=len(sites))
        covered = np.bincount(row, lasted[inside], minlength=len(sites)) / ((end - begin) / np.timedelta64(1, "s"))
        enough = covered >= COVERED
        total = np.full(len(sites), np.nan)
        total[enough] = people[enough] / np.minimum(covered[enough], 1.0)
        seen.append(total[np.argsort(np.argsort(sites))])
    if not seen:
        return np.full(len(sites), np.nan)
    stacked = np.stack(seen)
    known = np.isfinite(stacked).any(axis=0)
    usual = np.full(len(sites), np.nan)
    usual[known] = np.nanmedian(stacked[:, known], axis=0)
    return usual


def _streets_of(city: City, places: pd.DataFrame) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Name of the nearest street that has one, and kind of the nearest street; '' where none is near."""
    streets = city.places("streets")
    named = streets[[isinstance(text, str) and bool(text) for text in streets["name"]]]
    return _nearest(named, "name", places), _nearest(streets, "kind", places)


def _nearest(streets: geopandas.GeoDataFrame, column: str, places: pd.DataFrame) -> npt.NDArray[np.object_]:
    import shapely

    found = np.full(len(places), "", object)
    if len(streets) and len(places):
        (place, street), _ = shapely.STRtree(streets.geometry.to_numpy()).query_nearest(
            places.geometry.to_numpy(), max_distance=STREET_M, return_distance=True, all_matches=False
        )
        found[place] = streets[column].to_numpy(object)[street]
    return found
