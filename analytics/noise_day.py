"""Day, evening and night of sound by the city's clock, and the averages of a year: Lday, Levening, Lnight and Lden.

    Lden = 10 lg( ( 12 * 10^(Lday/10) + 4 * 10^((Levening+5)/10) + 8 * 10^((Lnight+10)/10) ) / 24 )

Directive 2002/49/EC Annex I: day 07-19, evening 19-23, night 23-07 local. These are averages of a year. One night has a
LAeq,23-07, over seven or nine real hours when the clocks change; it is never called Lnight.
"""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics.levels import HATCHED, laeq_by, standing
from sensors.night import Night, local_offset

Floats = NDArray[np.float64]
PERIODS = ("LAeq,07-19", "LAeq,19-23", "LAeq,23-07")
_HOURS = (12.0, 4.0, 8.0)  # of each period
_PENALTY_DB = (0.0, 5.0, 10.0)
_YEAR_DAYS = 365.0


def night_span(night: Night) -> tuple[np.datetime64, np.datetime64]:
    """When 23-07 of a night begins and ends, UTC: 7, 8 or 9 real hours apart, in Lord Howe 7.5 or 8.5."""
    return night.at(23), night.at(31)


def period_of(end: NDArray[np.datetime64], duration_s: Floats, zone: ZoneInfo) -> NDArray[np.int64]:
    """0 day, 1 evening or 2 night, by the local clock at the middle of each interval that ends at `end` (UTC)."""
    middle = end.astype("datetime64[ms]") - (duration_s * 500.0).astype(np.int64).astype("timedelta64[ms]")
    minute = (middle + local_offset(middle, zone)).astype(np.int64) // 60_000 % 1440
    return np.where((minute >= 420) & (minute < 1140), 0, np.where((minute >= 1140) & (minute < 1380), 1, 2))


def lden(day_db: float, evening_db: float, night_db: float) -> float:
    """Lden of the three levels of a year, in dB.

    >>> round(lden(60.0, 55.0, 50.0), 2)
    60.0
    """
    parts = zip(_HOURS, (day_db, evening_db, night_db), _PENALTY_DB, strict=True)
    return 10.0 * float(np.log10(sum(hours * 10.0 ** ((level + more) / 10.0) for hours, level, more in parts) / 24.0))


@dataclass(frozen=True)
class LongTerm:
    """Energy means of the three periods in dB over all nights given, and the share of a year's seconds behind each."""

    level: tuple[float, float, float]
    share_of_year: tuple[float, float, float]

    @property
    def standing(self) -> str:
        """'reported' with 75 % of a year's seconds of each period, 'hatched' with half, otherwise 'none'."""
        return standing(min(self.share_of_year))

    @property
    def l_night(self) -> float | None:
        """Lnight, where enough of a year's nights is behind it."""
        return self.level[2] if self.share_of_year[2] >= HATCHED else None

    @property
    def l_den(self) -> float | None:
        """Lden, where enough of a year is behind each period."""
        return lden(*self.level) if min(self.share_of_year) >= HATCHED else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what may carry the names of a year, and what may not."""
        return {
            **{
                name: None if np.isnan(level) else round(level, 2)
                for name, level in zip(PERIODS, self.level, strict=True)
            },
            "share_of_year": [round(share, 3) for share in self.share_of_year],
            "Lden": None if self.l_den is None else round(self.l_den, 2),
            "Lnight": None if self.l_night is None else round(self.l_night, 2),
            "standing": self.standing,
        }


def long_term(end: NDArray[np.datetime64], level_db: Floats, seconds: Floats, zone: ZoneInfo) -> LongTerm:
    """Averages by period of everything a meter said; whether they are of a year is for its seconds to say.

    end : (n,) UTC, the end of each interval; seconds : valid seconds of each
    """
    level, total = laeq_by(period_of(end, seconds, zone), level_db, seconds, 3)
    share = [min(float(held) / (hours * 3600.0 * _YEAR_DAYS), 1.0) for held, hours in zip(total, _HOURS, strict=True)]
    return LongTerm((float(level[0]), float(level[1]), float(level[2])), (share[0], share[1], share[2]))
