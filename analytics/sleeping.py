"""Those who sleep: what meters on facades and elsewhere heard, minutes above a limit, what closing time changed.

One night has LAeq,23-07 and no Lnight, which is of a year (Directive 2002/49/EC, Annex I). Lnight is told of a meter
on a facade once half a year of seconds is behind it; until then the report says how much is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.levels import laeq, laeq_by
from analytics.noise_day import LongTerm, period_of
from analytics.noise_report import MeterNight, heard_by, noise_report
from ingest.archive import night_records, nights
from sensors.city import City
from sensors.flags import usable
from sensors.night import Night
from sensors.quantities import QUANTITIES

LIMIT_DB = 55.0  # interim target of WHO's Night Noise Guidelines for Europe (2009), outside at the facade
FACADE = "facade"
_YEAR_DAYS = 365
_SECONDS_OF = (12 * 3600.0 * 365, 4 * 3600.0 * 365, 8 * 3600.0 * 365)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sleeper:
    """A meter, its nights, and its year so far (None off a facade)."""

    device: str
    mounting: str
    origin: str
    nights: tuple[MeterNight, ...]
    year: LongTerm | None

    @property
    def minutes(self) -> float | None:
        """Minutes above the limit, the median over nights."""
        return _median([night.exceedance_minutes for night in self.nights])

    @property
    def level(self) -> float | None:
        """LAeq,23-07 in dB: of several nights the median one, or the energy mean of the middle two."""
        known = np.sort([night.laeq_23_07 for night in self.nights if night.laeq_23_07 is not None])
        return laeq(known[(known.size - 1) // 2 : known.size // 2 + 1]) if known.size else None

    @property
    def step(self) -> float | None:
        """The largest step at a closing time near it, of several nights their median, in dB."""
        largest = []
        for night in self.nights:
            steps = [closing.step_db for closing in night.closings if closing.step_db is not None]
            largest.append(max(steps, key=abs) if steps else None)
        return _median(largest)


def sleepers(
    city: City, wanted: Sequence[Night], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Sleeper]:
    """All meters that were heard in some of the nights, those on facades and the longest above the limit first."""
    report = noise_report(city, wanted, limit_db=LIMIT_DB, progress=progress)
    meters = [meter for meter in report.meters if any(night.coverage > 0 for night in meter.nights)]
    facades = [meter.site for meter in meters if meter.mounting == FACADE]
    years = _years(city, facades, max(wanted, key=lambda night: night.date))
    out = [Sleeper(meter.device, meter.mounting, meter.origin, meter.nights, years.get(meter.site)) for meter in meters]
    return sorted(out, key=lambda one: (one.mounting != FACADE, -(one.minutes or 0.0), one.device))


def _years(city: City, sites: Sequence[int], last: Night) -> dict[int, LongTerm]:
    """Energy means by period over the year that ends with a night, and the share of its seconds behind each."""
    energy = {site: np.zeros(3) for site in sites}
    seconds = {site: np.zeros(3) for site in sites}
    first = last.date - timedelta(days=_YEAR_DAYS - 1)
    for day in [day for day in nights(city) if first <= day <= last.date] if sites else []:
        records = night_records(city, day, quantities=[QUANTITIES["sound_laeq"].code], sites=list(sites))
        records = records[usable(records["flags"])]
        for site in sites:
            heard = heard_by(records, site)
            if heard.end.size:
                period = period_of(heard.end, heard.seconds, city.zone)
                level, total = laeq_by(period, heard.level, heard.seconds, 3)
                energy[site] += np.where(total > 0, total * 10.0 ** (np.nan_to_num(level) / 10.0), 0.0)
                seconds[site] += total
    return {site: _long_term(energy[site], seconds[site]) for site in sites}


def _long_term(energy: Floats, seconds: Floats) -> LongTerm:
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 10.0 * np.log10(energy / seconds)
    share = np.minimum(seconds / np.array(_SECONDS_OF), 1.0)
    return LongTerm(
        (float(level[0]), float(level[1]), float(level[2])), (float(share[0]), float(share[1]), float(share[2]))
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
