"""The shared truth of one night: what is so, what every device will say about it, and what becomes of each message.

Everything is settled before the first message leaves, from the seed and the night alone. That makes the truth file the
same byte for byte at any speed, and acceptance arithmetic: of the messages due in a run, each planned one is stored
once unless its fate is 'lost' or the run's own report names it as dropped.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import msgspec
import numpy as np
import numpy.typing as npt

from firmware_sim import safety
from firmware_sim.crowd import (
    COUNT_K,
    STEP_MS,
    STEP_S,
    CrowdNight,
    Passing,
    crowd_night,
    draw_counts,
    hours_of_evening,
    site_swing,
)
from firmware_sim.lamps import Fault, LampNight, Lamps, Lighting, lamp_night
from firmware_sim.noise import FACADE_DB, Hearing, heard, mean_level
from firmware_sim.streams import stream
from firmware_sim.town import Floats, Ints, Town
from sensors.errors import CityError
from sensors.night import Night, rfc3339
from sensors.quantities import QUANTITIES, by_code
from sensors.register import SiteRegister

STEP_15_MS = 900_000
COUNT_S, LEVEL_S = 900.0, 300.0
HEARTBEAT_MS = 900_000
SENT, DUPLICATED, LOST, LATE = range(4)
FATES = ("sent", "duplicated", "lost", "late")
DUPLICATED_SHARE, LOST_SHARE, LATE_SHARE = 0.005, 0.005, 0.01
DEAD_TIME_S = 0.5  # of a counter, after each person (sensing.md C1)
SAMPLE_PLACES = 200
WARNING = "INVENTED for testing; the coefficients of 'safety' describe nobody"

PLAN = np.dtype(
    [
        ("device", "i4"),  # row of `Fleet.devices`
        ("site", "u4"),
        ("quantity", "u1"),
        ("time", "i8"),  # end of the interval, UTC ms
        ("duration_s", "f4"),
        ("value", "f8"),
        ("seq", "u4"),
        ("fate", "u1"),
        ("due", "i8"),  # when it leaves, city time, UTC ms
    ]
)


@dataclass(frozen=True)
class Fleet:
    """The simulated sites of a city: a device may hold several.

    sites : GeoDataFrame
        Rows of the register with origin 'simulated', by site number; `devices` are their distinct devices.
    """

    sites: geopandas.GeoDataFrame
    devices: list[str]

    @classmethod
    def of(cls, town: Town) -> Fleet:
        """The devices to play; CityError when the city has none or is not declared simulated."""
        table = SiteRegister.load(town.city).table
        table = table[(table["origin"] == "simulated") & table["valid_to"].isna()].sort_values("site")
        if not town.city.simulated:
            raise CityError(
                f"{town.city.path}: city.toml does not say 'simulated = true', so nothing is simulated here"
            )
        if not len(table):
            raise CityError(f"{town.city.path}: places/sites has no site with origin 'simulated'")
        return cls(table.reset_index(drop=True), sorted(set(table["device"])))

    def rows(self, quantity: str) -> geopandas.GeoDataFrame:
        """The sites of one quantity."""
        return self.sites[self.sites["quantity"] == quantity]


@dataclass(frozen=True)
class Instruments:
    """Counters, meters and lux sensors with their lasting errors; arrays follow `Fleet.rows` of their quantity."""

    fleet: Fleet
    counters: Passing
    count_gain: Floats
    count_k: Floats
    meters: Hearing
    level_gain_db: Floats
    facade_db: Floats
    lux: Lighting
    lux_gain: Floats
    peak_row: Ints  # row of the meter beside which each meter of peaks stands
    lamps: Lamps
    lamp_of_site: dict[int, int]  # site of a lamp's controller -> row of lamps

    @classmethod
    def of(cls, town: Town) -> Instruments:
        """The instruments of a town."""
        fleet, lamps = Fleet.of(town), Lamps.of(town)
        generator = stream(town.seed, "instruments")
        counters, meters, lux = (fleet.rows(name) for name in ("people_flow", "sound_laeq", "illuminance"))
        row_of = {str(lamp): row for row, lamp in enumerate(lamps.ids)}
        controllers = fleet.sites[fleet.sites["quantity"].isin(["dimming", "lamp_ok"])]
        first = controllers["lamps"].str.split(";").str[0]
        return cls(
            fleet,
            Passing.at(town, points_of(counters)),
            np.exp(generator.normal(-0.05, 0.06, len(counters))),
            generator.uniform(*COUNT_K, len(counters)),
            Hearing.at(town, points_of(meters), "meters"),
            generator.normal(0.0, 0.7, len(meters)),
            np.where(meters["mounting"] == "facade", FACADE_DB, 0.0),
            Lighting.at(
                town,
                lamps,
                points_of(lux),
                np.nan_to_num(lux["height_m"].to_numpy(np.float64)),
                (lux["plane"] == "vertical").to_numpy(),
            ),
            np.exp(generator.normal(0.0, 0.10, len(lux))),
            _same_device(fleet.rows("sound_lamax"), meters),
            lamps,
            {int(site): row_of[lamp] for site, lamp in zip(controllers["site"], first, strict=True) if lamp in row_of},
        )


@dataclass(frozen=True)
class NightTruth:
    """What is so in one night, in steps of 5 minutes; arrays are (sites of the quantity, T)."""

    town: Town
    instruments: Instruments
    night: Night
    crowd: CrowdNight
    lamps: LampNight
    flow: Floats  # persons/h
    level_db: Floats  # LAeq in the free field
    light_lx: Floats

    @classmethod
    def of(cls, town: Town, instruments: Instruments, night: Night) -> NightTruth:
        """The truth of a night; the same seed and night give the same truth."""
        crowd = crowd_night(town, night)
        lamps = lamp_night(town, instruments.lamps, night)
        counters = instruments.counters
        return cls(
            town,
            instruments,
            night,
            crowd,
            lamps,
            counters.flow(town, crowd) * site_swing(town, night, len(counters.piece)),
            instruments.meters.levels(town, crowd, "meters"),
            instruments.lux.illuminance(lamps, night, crowd.ends),
        )

    @property
    def boot(self) -> int:
        """What devices give as `boot`: the night, so that message numbers may begin again, and the seed above it."""
        days = (np.datetime64(self.night.date) - np.datetime64("2000-01-01")).astype(int)
        return ((self.town.seed & 0xFFFF) << 16) | (int(days) & 0xFFFF)

    def counted(self) -> tuple[Ints, npt.NDArray[np.int64], Ints]:
        """Ends of 15-minute intervals (ms), what each counter counts in them (n, T/3), and the true counts."""
        generator = stream(self.town.seed, "counts", self.night.date)
        mean = _per_quarter(self.flow) * COUNT_S / 3600.0
        true = draw_counts(generator, mean, self.instruments.count_k[:, None])
        seen = true * self.instruments.count_gain[:, None]
        observed = np.rint(seen / (1.0 + seen * DEAD_TIME_S / COUNT_S)).astype(np.int64)
        return self.crowd.ends[2::3], observed, true

    def heard(self) -> Floats:
        """What each meter says in each step of 5 minutes, dB rounded to 0.1, (n, T)."""
        generator = stream(self.town.seed, "levels", self.night.date)
        wobble = generator.normal(0.0, 0.2, self.level_db.shape)
        gain = self.instruments.level_gain_db[:, None] + self.instruments.facade_db[:, None]
        return np.round(heard(self.level_db, gain + wobble), 1)

    def heard_peaks(self, levels_db: Floats) -> Floats:
        """LAmax that each meter of peaks says beside the LAeq of `heard`, dB rounded to 0.1, (peaks, T).

        Some 8 dB above the level plus a tail: in Nantes Leq - L90 has a median of 15 dB (data README 6).
        """
        generator = stream(self.town.seed, "peaks", self.night.date)
        rows = self.instruments.peak_row
        above = 8.0 + generator.gamma(2.0, 2.5, (len(rows), levels_db.shape[1]))
        return np.asarray(np.round(np.minimum(levels_db[rows] + above, 125.0), 1), np.float64)

    def read_lux(self) -> Floats:
        """What each lux sensor says in each step of 5 minutes, lx rounded to 0.01, (n, T)."""
        generator = stream(self.town.seed, "lux", self.night.date)
        wobble = np.exp(generator.normal(0.0, 0.03, self.light_lx.shape))
        return np.round(self.light_lx * self.instruments.lux_gain[:, None] * wobble, 2)

    def plan(self) -> npt.NDArray[np.void]:
        """Every message of the night, by the moment at which it leaves; dtype PLAN."""
        parts = [self._lamp_reports(), *self._sensor_reports()]
        plan = np.concatenate(parts)
        plan = plan[np.lexsort((plan["quantity"], plan["time"], plan["device"]))]
        device = plan["device"]
        first = np.searchsorted(device, device, side="left")
        plan["seq"] = np.arange(len(plan)) - first
        generator = stream(self.town.seed, "fates", self.night.date)
        chance = generator.random(len(plan))
        limits = np.cumsum([DUPLICATED_SHARE, LOST_SHARE, LATE_SHARE])
        plan["fate"] = np.array([DUPLICATED, LOST, LATE, SENT], np.uint8)[np.searchsorted(limits, chance, side="right")]
        # Network delay: median 0.4 s, sigma 0.8 (sensing.md E1); a late message waits some minutes more.
        delay_s = 0.4 * np.exp(generator.normal(0.0, 0.8, len(plan)))
        delay_s += np.where(plan["fate"] == LATE, 240.0 * np.exp(generator.normal(0.0, 0.8, len(plan))), 0.0)
        plan["due"] = plan["time"] + np.rint(delay_s * 1000.0).astype(np.int64)
        return plan[np.lexsort((plan["seq"], plan["device"], plan["due"]))]

    def places_sample(self) -> tuple[Floats, Ints, dict[str, Floats]]:
        """True conditions at up to 200 places on walkable streets, every 15 minutes of the mapped window.

        Gives (n, 2) metres, ends of the intervals (ms), and arrays (n, T): illuminance, footfall, noise, safety.
        """
        town = self.town
        generator = stream(town.seed, "sample")
        n = min(SAMPLE_PLACES, len(town.walk.row))
        points = town.walk.points[np.sort(generator.choice(len(town.walk.row), n, replace=False))]
        settings = town.city.settings.night
        starts = self.night.steps(settings.from_, settings.to).astype(np.int64)
        ends = starts + STEP_15_MS
        step = self.crowd.step_of(ends - 1)
        lighting = Lighting.at(town, self.lamps.lamps, points, np.zeros(n), np.zeros(n, bool))
        light = lighting.illuminance(self.lamps, self.night, ends)
        flow = Passing.at(town, points).flow(town, self.crowd)[:, step]
        level = Hearing.at(town, points, "sample").levels(town, self.crowd, "sample")
        ordered = mean_level(level, STEP_15_MS // STEP_MS)[:, step // 3]
        hours = hours_of_evening(ends - STEP_15_MS // 2, self.night)
        eta = safety.conditions(light, flow, ordered, hours, np.full(hours.shape, self.night.weekday in (4, 5)))
        eta += safety.place_effect(town, points)[:, None]
        fields = {"illuminance": light, "footfall": flow, "noise": ordered, "safety": safety.share_safe(eta, light)}
        return points, ends, fields

    def _sensor_reports(self) -> Iterator[npt.NDArray[np.void]]:
        ends, counts, _ = self.counted()
        yield self._table("people_flow", ends, counts.astype(np.float64), COUNT_S)
        levels = self.heard()
        yield self._table("sound_laeq", self.crowd.ends, levels, LEVEL_S)
        peaks = self.instruments.fleet.rows("sound_lamax")
        beside = peaks[peaks["device"].isin(self.instruments.fleet.rows("sound_laeq")["device"])]
        yield self._table("sound_lamax", self.crowd.ends, self.heard_peaks(levels), LEVEL_S, beside)
        yield self._table("illuminance", self.crowd.ends, self.read_lux(), 0.0)

    def _table(
        self,
        quantity: str,
        ends: Ints,
        values: Floats,
        duration_s: float,
        sites: geopandas.GeoDataFrame | None = None,
    ) -> npt.NDArray[np.void]:
        """Reports of one kind of sensor at the ends of its intervals; `values` is (n, len(ends))."""
        sites = self.instruments.fleet.rows(quantity) if sites is None else sites
        plan = np.zeros(values.size, PLAN)
        plan["device"] = np.repeat(self._device_rows(sites), len(ends))
        plan["site"] = np.repeat(sites["site"].to_numpy(np.int64), len(ends))
        plan["quantity"] = QUANTITIES[quantity].code
        plan["time"] = np.tile(ends, len(sites))
        plan["duration_s"] = duration_s
        plan["value"] = values.reshape(-1)
        return plan

    def _lamp_reports(self) -> npt.NDArray[np.void]:
        """State of every lamp controller: a heartbeat each quarter of an hour, and at once when something changes."""
        fleet = self.instruments.fleet
        sites = fleet.sites[fleet.sites["site"].isin(list(self.instruments.lamp_of_site))]
        if not len(sites):
            return np.zeros(0, PLAN)
        site = sites["site"].to_numpy(np.int64)
        lamp = np.array([self.instruments.lamp_of_site[int(number)] for number in site], np.int64)
        device = self._device_rows(sites)
        is_dimming = (sites["quantity"] == "dimming").to_numpy()
        rows, times = self._report_times(lamp, device, is_dimming)
        live = self.lamps.powered(lamp[rows], times)  # a controller without current is silent
        rows, times = rows[live], times[live]
        plan = np.zeros(len(rows), PLAN)
        plan["device"], plan["site"], plan["time"] = device[rows], site[rows], times
        plan["quantity"] = np.where(is_dimming[rows], QUANTITIES["dimming"].code, QUANTITIES["lamp_ok"].code)
        level = np.round(self.lamps.command(lamp[rows], times), 2)
        plan["value"] = np.where(is_dimming[rows], level, self.lamps.burning(lamp[rows], times))
        return plan

    def _report_times(self, lamp: Ints, device: Ints, is_dimming: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Rows of the controllers' sites with the times of their reports (ms)."""
        start, end = int(self.crowd.ends[0] - STEP_MS), int(self.crowd.ends[-1])
        generator = stream(self.town.seed, "heartbeats", self.night.date)
        beats = np.arange(start, end, HEARTBEAT_MS, dtype=np.int64)
        # Each controller beats in its own phase, the same for its quantities; +-3 % jitter (sensing.md E1).
        count = len(self.instruments.fleet.devices)
        phase = generator.integers(0, HEARTBEAT_MS, count)
        jitter = np.rint(generator.uniform(-0.03, 0.03, (count, len(beats))) * HEARTBEAT_MS).astype(np.int64)
        times = np.clip(beats[None, :] + phase[:, None] + jitter, start + 1, end)[device]
        rows = np.repeat(np.arange(len(lamp)), len(beats))
        # Reports on change come some seconds after it.
        after_ms = generator.integers(1000, 8000, count)[device]
        switched = self.lamps.switch_ms[None, :] + self.lamps.lamps.late_ms[lamp][:, None] + after_ms[:, None]
        failed = self.lamps.dead_from[lamp]
        changes = [
            (np.repeat(np.flatnonzero(is_dimming), switched.shape[1]), switched[is_dimming].reshape(-1)),
            (np.arange(len(lamp)), np.where(is_dimming | (failed > end), -1, failed + after_ms)),
            (
                np.arange(len(lamp)),
                np.where(self.lamps.outage[lamp], min(self.lamps.outage_to, end) + after_ms, -1),
            ),
        ]
        rows = np.concatenate([rows, *(row for row, _ in changes)])
        moments = np.concatenate([times.reshape(-1), *(moment for _, moment in changes)])
        kept = (moments > start) & (moments <= end)
        return rows[kept], moments[kept]

    def _device_rows(self, sites: geopandas.GeoDataFrame) -> Ints:
        names = np.array(self.instruments.fleet.devices)
        return np.asarray(np.searchsorted(names, sites["device"].to_numpy(str)), np.int64)


def points_of(sites: geopandas.GeoDataFrame) -> Floats:
    """(n, 2) easting and northing of sites, metres."""
    return np.column_stack([sites.geometry.x, sites.geometry.y]).reshape(-1, 2)


def _per_quarter(values: Floats) -> Floats:
    """Mean of each three steps: (n, T) to (n, T / 3), for no sites as well."""
    per = STEP_15_MS // STEP_MS
    return np.asarray(values.reshape(len(values), values.shape[1] // per, per).mean(axis=2), np.float64)


def _same_device(sites: geopandas.GeoDataFrame, others: geopandas.GeoDataFrame) -> Ints:
    """Row in `others` of each site's device; sites of other devices are left out."""
    row_of = {device: row for row, device in enumerate(others["device"])}
    return np.array([row_of[device] for device in sites["device"] if device in row_of], np.int64)


def truth_rows(truth: NightTruth, plan: npt.NDArray[np.void]) -> Iterator[dict[str, Any]]:
    """The lines of a truth file, in order: city, faults, sites with their true values, places, readings."""
    yield {
        "kind": "night",
        "warning": WARNING,
        "city": truth.town.city.id,
        "night": truth.night.name,
        "seed": truth.town.seed,
        "boot": truth.boot,
        "from": _text(truth.crowd.ends[0] - STEP_MS),
        "to": _text(truth.crowd.ends[-1]),
        "safety": {**safety.COEFFICIENTS, "person_sd": safety.PERSON_SD, "cuts": list(safety.CUTS)},
    }
    for fault in truth.lamps.faults:
        yield _fault_row(fault)
    yield from _site_rows(truth)
    points, ends, fields = truth.places_sample()
    yield {"kind": "steps", "of": "place", "ends": [_text(end) for end in ends]}
    for row, (easting, northing) in enumerate(np.round(points, 1).tolist()):
        values = {name: np.round(field[row], 4).tolist() for name, field in fields.items()}
        yield {"kind": "place", "easting": easting, "northing": northing, **values}
    devices = truth.instruments.fleet.devices
    for device, site, quantity, time, duration_s, value, seq, fate, due in plan.tolist():
        yield {
            "kind": "reading",
            "device": devices[device],
            "site": site,
            "quantity": by_code(quantity).name,
            "time": time,
            "duration_s": duration_s,
            "value": value,
            "seq": seq,
            "fate": FATES[fate],
            "due": due,
        }


def write_truth(file: Path, truth: NightTruth, plan: npt.NDArray[np.void], *, append: bool = False) -> None:
    """Write a night's truth as JSON lines, compressed where the name ends in .gz; a later night may be appended."""
    encoder = msgspec.json.Encoder()
    content = encoder.encode_lines(list(truth_rows(truth, plan)))
    if file.suffix == ".gz":
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=1, mtime=0) as pack:
            pack.write(content)
        content = packed.getvalue()
    file.parent.mkdir(parents=True, exist_ok=True)
    earlier = file.read_bytes() if append and file.exists() else b""
    beside = file.with_name(file.name + ".new")
    beside.write_bytes(earlier + content)
    beside.replace(file)


def _site_rows(truth: NightTruth) -> Iterator[dict[str, Any]]:
    """True values per 15 minutes of counters, meters and lux sensors with their errors; lamps are told by faults."""
    instruments = truth.instruments
    _, _, true_counts = truth.counted()
    per_15 = STEP_15_MS // STEP_MS
    tables: list[tuple[str, dict[str, npt.NDArray[Any]], dict[str, Floats]]] = [
        (
            "people_flow",
            {
                "people_per_h": _per_quarter(truth.flow).round(3),
                "people": true_counts,
            },
            {"gain": instruments.count_gain, "k": instruments.count_k},
        ),
        (
            "sound_laeq",
            {"level_db": mean_level(truth.level_db, per_15).round(3)},
            {"gain_db": instruments.level_gain_db, "facade_db": instruments.facade_db},
        ),
        ("illuminance", {"illuminance_lx": truth.light_lx[:, 2::3].round(4)}, {"gain": instruments.lux_gain}),
    ]
    yield {"kind": "steps", "of": "site", "ends": [_text(end) for end in truth.crowd.ends[2::3]]}
    for quantity, series, errors in tables:
        sites = instruments.fleet.rows(quantity)
        for row, (site, device) in enumerate(zip(sites["site"], sites["device"], strict=True)):
            yield {
                "kind": "site",
                "site": int(site),
                "device": device,
                "quantity": quantity,
                **{name: round(float(error[row]), 4) for name, error in errors.items()},
                **{name: values[row].tolist() for name, values in series.items()},
            }


def _fault_row(fault: Fault) -> dict[str, Any]:
    return {
        "kind": "fault",
        "fault": fault.kind,
        "device": fault.device,
        "start": _text(fault.start_ms),
        "end": _text(fault.end_ms),
    }


def _text(time_ms: int) -> str:
    return rfc3339(np.datetime64(int(time_ms), "ms"))


assert STEP_S * 3 == COUNT_S  # the counters' interval is three steps of the truth
