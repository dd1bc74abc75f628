"""The light of every street section of a city by hour: required, computed and measured side by side, with verdicts.

`required` by required_class.py, `E_*` and `Esc_min` by section_light.py, `measured_*` by measured_light.py. Without
readings of lamps the computation is a *design*: all at the level that the city's schedule asks for. With a night's
readings it is *inferred*: the same lamps dimmed and failing as they reported; while it is not dark such rows are 'not
assessed'.

The 90 % interval of a computed value takes the errors of all lamps as one, as lamps of one make err together; that of
uniformity is the one of the minimum, since an average errs with it. Nothing is decided where more than a twentieth of
the light is of lamps without a photometric file, or whose position is assumed. A measurement counts for an hour if it
was made at that hour of the day, or at one for which the schedule asks the same level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from analytics.footfall import footfall_field
from analytics.knowledge import Knowledge, learn_from
from analytics.lamp_state import LampState, lamp_state, scheduled_level
from analytics.lighting_classes import CLASSES, Method, Span, Verdict, Word, judge
from analytics.measured_light import GROUND_M, Places, sensed, surveyed
from analytics.observations import ordered
from analytics.profile import Profile
from analytics.required_class import required_at
from analytics.section_light import (
    USUAL_WIDTH_M,
    SectionLight,
    SectionPoints,
    lamps_beside,
    section_light,
    section_points,
    within_reach,
)
from analytics.sky import sky_lux
from analytics.sources import along
from analytics.stated_class import with_stated
from analytics.surroundings import Surroundings, surroundings
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import LightingError, ModelError
from sensors.night import Night, local_offset, night_of, rfc3339, sun_elevation
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

NOTE = (
    "computed values are a calculation, not a measurement, and say nothing of luminance (M classes), glare or edge "
    "illuminance; thresholds of SC, HS and over-lit are provisional"
)
SIMULATED = "SIMULATED: not what lamps and sensors here do"
_HALF_WIDTH = 1.645  # of a 90 % interval, in sd
_DEFAULTS = 0.05  # of the light, beyond which nothing is decided
_LEAST_VALUES = 3  # measured in a section before they say anything of its average
_DARK_DEG = -6.0
_NEVER_COUNTED_SD = 3.0  # of ln footfall where nobody ever counted in this city: anything from quiet to busy
_STRADDLES = "the 90 % interval straddles a limit"
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_LAMP_QUANTITIES = ("dimming", "lamp_ok", "power")


@dataclass(frozen=True)
class LightingTable:
    """The table, and what it was made with.

    rows : GeoDataFrame, a row a section and hour; learnt : nights that taught footfall, 0 where it is a default
    """

    city: City
    night: Night
    method: Method
    rows: geopandas.GeoDataFrame
    learnt: int
    simulated: bool

    @property
    def notes(self) -> list[str]:
        """What to say beside the table."""
        notes = [NOTE]
        if not self.learnt:
            notes.append("no night has taught footfall yet: how busy a street is, and its class by hour, are defaults")
        return notes + ([SIMULATED] if self.simulated else [])

    def to_dict(self) -> dict[str, Any]:
        """As `noctule lighting --json` prints it."""
        plain = pd.DataFrame(self.rows.drop(columns="geometry"))
        return {
            "city": self.city.id,
            "night": self.night.name,
            "method": str(self.method),
            "simulated": self.simulated,
            **self._words(),
            "rows": json.loads(plain.to_json(orient="records", double_precision=4)),
        }

    def _words(self) -> dict[str, Any]:
        settings = self.city.settings
        return {"notes": self.notes, "attribution": list(settings.attribution), "licence": settings.licence}

    def json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def csv(self) -> str:
        """The rows as CSV, with the middle of each section at longitude and latitude (WGS 84)."""
        plain = pd.DataFrame(self.rows.drop(columns="geometry"))
        middle = self.rows.geometry.interpolate(0.5, normalized=True).to_crs("EPSG:4326")
        for column in plain.columns:
            if plain[column].dtype == object or pd.api.types.is_string_dtype(plain[column]):
                plain[column] = [_harmless(value) for value in plain[column]]
            elif pd.api.types.is_float_dtype(plain[column]):
                plain[column] = ["" if pd.isna(value) else f"{value:.4g}" for value in plain[column]]
        plain["longitude"], plain["latitude"] = middle.x.map("{:.6f}".format), middle.y.map("{:.6f}".format)
        return str(plain.to_csv(index=False, lineterminator="\n"))

    def geojson(self) -> str:
        """The rows as GeoJSON features, longitude and latitude to six decimals."""
        rows = self.rows.to_crs("EPSG:4326")
        rounded = shapely.transform(rows.geometry.to_numpy(), lambda coordinates: coordinates.round(6))
        content = json.loads(rows.set_geometry(geopandas.GeoSeries(rounded, crs="EPSG:4326")).to_json())
        return json.dumps({**content, **self._words()}, ensure_ascii=False)

    def text(self) -> str:
        """A summary for people: how many sections got which verdict, an hour a line, and why nothing can be told."""
        how = {
            Method.DESIGN: "design: lamps at the schedule's level",
            Method.INFERRED: "inferred: lamps as they reported",
        }[self.method]
        first = self.rows[self.rows.time == self.rows.time.iloc[0]]
        lines = [
            f"{self.city.name}, night of {self.night.name} ({how}); {len(first):,} sections, "
            f"{first.length_m.sum() / 1000:.1f} km",
            "hour   median of E_avg  " + "  ".join(f"{word:>{len(word)}}" for word in Word),
        ]
        for _, rows in self.rows.groupby("time", sort=False):
            counts = rows.verdict.value_counts()
            lines.append(
                f"{rows.hour.iloc[0]}  {rows.E_avg.median():11.2f} lx  "
                + "  ".join(f"{counts.get(str(word), 0):{len(word)},}" for word in Word)
            )
        for word in (Word.CANNOT_TELL, Word.NOT_ASSESSED):
            rows = self.rows[self.rows.verdict == str(word)]
            # An interval's numbers differ from row to row; what is alike is that it straddles a limit.
            why = rows.reason.map(_alike).value_counts()
            lines += [f"{word}: {count:,} of {len(self.rows):,} rows, {reason}" for reason, count in why.items()]
        measured = self.rows[self.rows.measured_lx.notna()]
        if len(measured):
            counts = measured.measured_verdict.value_counts()
            lines.append(
                f"measured: {len(measured):,} rows, " + ", ".join(f"{count:,} {word}" for word, count in counts.items())
            )
        return "\n".join([*lines, *self.notes])


def lighting_table(
    city: City,
    *,
    night: Night | None = None,
    hours: Sequence[str] = (),
    around: Surroundings | None = None,
    knowledge: Knowledge | None = None,
    progress: Progress | None = None,
) -> LightingTable:
    """The light of every section of a city.

    Parameters
    ----------
    night : one with readings; without it the present night by the schedule and by what earlier nights taught
    hours : local times like '23:00'; every full hour of the mapped window without them
    """
    opened = around or surroundings(city)
    habits = knowledge or _knowledge(city, opened)
    chosen = night or night_of(city_clock(city.path).now(), city.zone)
    records = ordered(_records(city, night))
    told = _lamps_told(records)
    method = Method.INFERRED if told else Method.DESIGN
    sections = with_stated(city, city.places("sections"))
    if not len(sections):
        raise LightingError(f"{city.name} has no street sections; build the city again with 'noctule city build'")
    streets = city.places("streets").set_index("street")
    kinds = sections["street"].map(streets["kind"]).fillna("").to_numpy(object)
    width = sections["street"].map(streets["width_m"]).to_numpy(np.float64)
    places = Places(sections, np.where(np.isfinite(width), width, USUAL_WIDTH_M))
    points = section_points(sections, width)
    work = _Work(
        city, opened, habits, chosen, method, records, sections, kinds, places,
        points, _defaults(city, opened), within_reach(points, opened),
        surveyed(city, places),
    )  # fmt: skip
    steps = _steps(city, chosen, hours)
    parts = []
    for number, (clock, step) in enumerate(steps, 1):
        parts.append(work.hour(clock, step))
        if progress is not None:
            progress(number, len(steps))
    rows = pd.concat(parts, ignore_index=True)
    simulated = bool(rows["simulated"].any())
    return LightingTable(
        city, chosen, method, geopandas.GeoDataFrame(rows, geometry="geometry", crs=city.crs), habits.footfall.nights,
        simulated,
    )  # fmt: skip


@dataclass
class _Work:
    """What stays the same over the hours, and the last computed light, which often does as well."""

    city: City
    around: Surroundings
    knowledge: Knowledge
    night: Night
    method: Method
    records: Records
    sections: geopandas.GeoDataFrame
    kinds: NDArray[np.object_]
    places: Places
    points: SectionPoints
    default: NDArray[np.bool_]
    reached: NDArray[np.bool_]
    surveys: pd.DataFrame
    _full: SectionLight | None = None

    def hour(self, clock: str, step: np.datetime64) -> pd.DataFrame:
        """The rows of one step."""
        state = self._state(step)
        light = self._light(state)
        walked = self._required(clock, step)
        lamps, out = lamps_beside(self.sections, self.around, state.level)
        dark = self.method is Method.DESIGN or self._sun(step) < _DARK_DEG
        spans = _spans(light)
        verdicts = [
            _computed(names, {key: span[place] for key, span in spans.items()}, self.method, light.defaults[place],
                      bool(self.reached[place]), dark)
            for place, names in enumerate(
                zip(walked.required, walked.required_least, walked.required_most, strict=True)
            )
        ]  # fmt: skip
        measured = self._measured(clock, step, walked.required.tolist())
        rows = pd.DataFrame(
            {
                "section": self.sections["section"].to_numpy(),
                "street": self.sections["street"].to_numpy(),
                "name": self.sections["name"].to_numpy(object),
                "kind": self.kinds,
                "length_m": self.sections["length_m"].to_numpy(np.float64).round(1),
                "width_m": self.places.width_m.round(1),
                "hour": clock,
                "time": rfc3339(step),
                **{column: walked[column].to_numpy() for column in walked.columns},
                "E_avg": light.average,
                "E_avg_low": [span.low for span in spans["E_avg"]],
                "E_avg_high": [span.high for span in spans["E_avg"]],
                "E_min": light.lowest,
                "E_min_low": [span.low for span in spans["E_min"]],
                "E_min_high": [span.high for span in spans["E_min"]],
                "U_o": [span.value for span in spans["U_o"]],
                "Esc_min": light.semicylindrical,
                **self._faces(spans, light, dark),
                "lamps": lamps,
                "lamps_out": out,
                "photometry": [_photometry(share) for share in light.defaults],
                "method": str(self.method),
                "verdict": [str(verdict.verdict) for verdict in verdicts],
                "over_lit": pd.array([verdict.over_lit for verdict in verdicts], dtype="boolean"),
                "margin": pd.array([verdict.margin for verdict in verdicts], dtype="Float64"),
                "tightest": [verdict.tightest for verdict in verdicts],
                "reason": [verdict.reason for verdict in verdicts],
                **{column: measured[column].to_numpy() for column in measured.columns},
            }
        )
        behind = bool(state.simulated.any()) or self.knowledge.footfall.simulated
        rows["simulated"] = behind | measured["measured_simulated"].to_numpy(bool)
        rows = rows.drop(columns="measured_simulated")
        rows["geometry"] = self.sections.geometry.to_numpy()
        return rows

    def _faces(self, spans: dict[str, list[Span]], light: SectionLight, dark: bool) -> dict[str, Any]:
        """The SC class that a section needs for faces to be recognised, where one is stated, and its verdict."""
        if "required_sc" not in self.sections:
            return {"required_sc": "", "verdict_sc": ""}
        needed = self.sections["required_sc"].fillna("").astype(str).tolist()
        said = [
            _computed((name,), {"Esc_min": span}, self.method, defaults, bool(reached), dark) if name else None
            for name, span, defaults, reached in zip(
                needed, spans["Esc_min"], light.defaults, self.reached, strict=True
            )
        ]
        return {
            "required_sc": needed,
            "verdict_sc": ["" if verdict is None else str(verdict.verdict) for verdict in said],
        }

    def _state(self, step: np.datetime64) -> LampState:
        """The lamps at the end of a step; in a design they do what the schedule says."""
        until = step + np.timedelta64(self.around.step_minutes, "m")
        n = self.around.lamps.easting.size
        if self.method is Method.DESIGN:
            return LampState(np.full(n, scheduled_level(self.around, step)), np.zeros(n), np.zeros(n, bool))
        return lamp_state(self.around, self.records, until, sky_lux(until, self.around.latitude, self.around.longitude))

    def _light(self, state: LampState) -> SectionLight:
        """The sections' light; a city whose lamps all burn alike is summed up once and scaled."""
        level = state.level
        alike = bool(level.size and np.ptp(level) == 0 and np.ptp(state.sd) == 0 and level[0] > 0)
        if not alike or self.method is not Method.DESIGN:
            return section_light(self.around, self.points, level, state.sd, self.default)
        if self._full is None:
            self._full = section_light(self.around, self.points, np.ones(level.size), state.sd, self.default)
        full, factor = self._full, float(level[0])
        return SectionLight(
            full.average * factor, full.average_sd, full.lowest * factor, full.lowest_sd,
            full.semicylindrical * factor, full.semicylindrical_sd, full.defaults,
        )  # fmt: skip

    def _required(self, clock: str, step: np.datetime64) -> pd.DataFrame:
        """Footfall along each section, and the class that goes with it."""
        people, sd = self._footfall(step)
        profile = self.knowledge.footfall
        now = profile.at(step + np.timedelta64(self.around.step_minutes * 30, "s"), self.around.zone)
        peak = people * np.exp(_busiest(profile) - now)
        minute = int(clock[:2]) * 60 + int(clock[3:])
        sd = sd if profile.nights else np.full(sd.size, _NEVER_COUNTED_SD)
        found = required_at(
            self.sections, self.kinds, minute, people, sd, np.maximum(peak, people), self.city.settings.lighting
        )
        found.insert(0, "persons_h", people.round(1))
        return found

    def _footfall(self, step: np.datetime64) -> tuple[Floats, Floats]:
        """Persons an hour along each section, median, and the sd of its logarithm."""
        field = footfall_field(self.around, self.knowledge.footfall, self.knowledge.coefficients, self.records, step)
        grid, n = self.around.grid, len(self.sections)
        easting, northing, line, _ = along(self.sections.geometry, grid.cell_m)
        row, column, inside = grid.cells(easting, northing)
        row, column, line = row[inside], column[inside], line[inside]
        count = np.bincount(line, minlength=n)
        with np.errstate(invalid="ignore", divide="ignore"):
            log = np.bincount(line, np.log(field.rate[row, column]), n) / count
            sd = np.bincount(line, field.sd[row, column], n) / count
        return np.exp(log), np.nan_to_num(sd, nan=1.0)

    def _sun(self, step: np.datetime64) -> float:
        return float(sun_elevation(np.array([step]), self.around.latitude, self.around.longitude)[0])

    def _measured(self, clock: str, step: np.datetime64, required: list[str]) -> pd.DataFrame:
        """The measurement of each section that fits the step best: its own sensors, else the latest survey."""
        until = step + np.timedelta64(self.around.step_minutes, "m")
        live = sensed(self.around, self.places, self.records, step, until, self.around.zone)
        hours = self._same_light(clock)
        fitting = self.surveys[self.surveys["hour"].isin(hours)] if len(self.surveys) else self.surveys
        listed = [part for part in (fitting.sort_values("when"), live) if len(part)]
        n = len(self.sections)
        out = pd.DataFrame(
            {
                "measured_lx": np.full(n, np.nan),
                "measured_low": np.full(n, np.nan),
                "measured_high": np.full(n, np.nan),
                "measured_values": np.zeros(n, np.int64),
                "measured_when": [""] * n,
                "measured_by": [""] * n,
                "measured_verdict": [""] * n,
                "measured_reason": [""] * n,
                "measured_simulated": np.zeros(n, bool),
            }
        )
        if not listed:
            return out
        best = pd.concat(listed, ignore_index=True).drop_duplicates("section", keep="last")
        at = best["section"].to_numpy(np.int64)
        said = [_measured_verdict(required[place], value) for place, value in zip(at, best.itertuples(), strict=True)]
        for column, values in {
            "measured_lx": best["lux"],
            "measured_low": best["low"],
            "measured_high": best["high"].replace(np.inf, np.nan),
            "measured_values": best["places"],
            "measured_when": best["when"],
            "measured_by": best["source"],
            "measured_verdict": [str(verdict.verdict) for verdict in said],
            "measured_reason": [verdict.reason for verdict in said],
            "measured_simulated": best["simulated"].astype(bool),
        }.items():
            out.loc[at, column] = np.asarray(values)
        return out

    def _same_light(self, clock: str) -> list[int]:
        """Hours of the day for which the schedule asks the same level as at a time."""
        wanted = scheduled_level(self.around, self.night.time_of(clock))
        same = [
            hour
            for hour in range(24)
            if scheduled_level(self.around, self.night.time_of(f"{hour:02d}:00")) == wanted
            and (hour >= 15 or hour < 10)
        ]
        return sorted({*same, int(clock[:2])})


def _computed(
    names: tuple[str, ...], values: dict[str, Span], method: Method, defaults: float, reached: bool, dark: bool
) -> Verdict:
    """The verdict on what is computed for a section.

    names : the class required, then the least and the most that may be; where they differ in verdict, nothing is told
    """
    required = names[0]
    if required and CLASSES[required].limits:
        if not dark:
            return Verdict(required, Word.NOT_ASSESSED, method, None, None, "", "it is not dark then", ())
        if not reached:
            reason = "no lamp is known within 60 m"
            return Verdict(required, Word.CANNOT_TELL, method, None, None, "", reason, ())
    said = [judge(name, values, method, photometry_known=defaults <= _DEFAULTS) for name in names]
    verdict = said[0]
    if len({one.verdict for one in said}) == 1:
        return verdict
    reason = f"footfall is too uncertain: {names[1]} to {names[2]} may be required"
    return Verdict(
        required, Word.CANNOT_TELL, method, None, verdict.margin, verdict.tightest, reason, verdict.provisional
    )


def _measured_verdict(required: str, measured: Any) -> Verdict:
    """What a measured average says; its lowest point is not that of a grid and is not known."""
    span = Span(float(measured.lux), float(measured.low), float(measured.high))
    verdict = judge(required, {"E_avg": span}, Method.MEASURED)
    reason = ""
    if measured.height_m > GROUND_M:
        reason = f"measured {measured.height_m:g} m up and not on the ground"
    elif measured.places < _LEAST_VALUES:
        reason = f"measured at {measured.places} places only"
    if reason and verdict.verdict in (Word.MEETS, Word.MISSES, Word.OVER_LIT):
        return Verdict(required, Word.CANNOT_TELL, Method.MEASURED, None, verdict.margin, verdict.tightest, reason, ())
    return verdict


def _spans(light: SectionLight) -> dict[str, list[Span]]:
    uniformity = light.lowest / np.where(light.average > 0, light.average, np.inf)
    columns = {
        "E_avg": (light.average, light.average_sd),
        "E_min": (light.lowest, light.lowest_sd),
        "U_o": (uniformity, light.lowest_sd),
        "Esc_min": (light.semicylindrical, light.semicylindrical_sd),
    }
    return {
        name: [
            Span(float(v), float(v * np.exp(-_HALF_WIDTH * s)), float(v * np.exp(_HALF_WIDTH * s)))
            for v, s in zip(value, sd, strict=True)
        ]
        for name, (value, sd) in columns.items()
    }


def _steps(city: City, night: Night, hours: Sequence[str]) -> list[tuple[str, np.datetime64]]:
    """The local times asked for, and the steps that begin then, UTC."""
    window = city.settings.night
    odd = [clock for clock in hours if not _CLOCK.fullmatch(clock)]
    if odd:
        raise LightingError(f"hour '{odd[0][:20]}' must be a local time like 23:00")
    if hours:
        return [(clock, night.time_of(clock)) for clock in hours]
    steps = night.steps(window.from_, window.to, 60)
    local = steps + local_offset(steps, city.zone)
    return [(str(moment)[11:16], step) for moment, step in zip(local.astype("datetime64[m]"), steps, strict=True)]


def _defaults(city: City, around: Surroundings) -> NDArray[np.bool_]:
    """Lamps whose light distribution or position nobody stated, in the order of the kernels."""
    table = city.places("lamps")
    assumed = dict(zip(table["lamp"].astype(str), table["source"].fillna("").astype(str) == "assumed", strict=True))
    without_place = np.array([assumed.get(lamp, True) for lamp in around.lamps.lamp.tolist()], bool)
    return np.asarray((around.lamps.luminaire < 0) | without_place, bool)


def _photometry(share: float) -> str:
    return "default" if share > 0.95 else "mixed" if share > _DEFAULTS else "file"


def _knowledge(city: City, around: Surroundings) -> Knowledge:
    """What the current model learnt of footfall; defaults where no model was fitted."""
    from analytics.model import load_model

    try:
        return load_model(city).knowledge
    except ModelError:
        return learn_from([], around)


def _records(city: City, night: Night | None) -> Records:
    if night is None:
        return empty_records()
    from ingest.archive import night_records

    return night_records(city, night)


def _lamps_told(records: Records) -> bool:
    codes = [QUANTITIES[name].code for name in _LAMP_QUANTITIES]
    return bool(np.isin(records["quantity"], codes).any())


def _busiest(profile: Profile) -> float:
    """The highest shape of a night hour of the week: from 18:00 to 06:00, six to seventeen hours after noon."""
    hours = np.arange(profile.shape.size) % 24
    return float(profile.shape[(hours >= 6) & (hours < 18)].max())


def _alike(reason: str) -> str:
    """A reason without the numbers that differ from row to row."""
    if "straddles" in reason:
        return _STRADDLES
    if reason.startswith("all least values"):
        return "all least values are reached, but the average may be over-lit"
    return reason.split(":")[0] if "footfall" in reason else reason


def _harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
