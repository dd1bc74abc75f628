"""How well the noise of a place is met that no meter tells of: each meter left out in turn, and foretold from the rest.

What earlier nights taught is left out too, since it holds each meter's own habit: this is the model of sources and the
other meters of tonight alone, what a place without a meter has. The error holds the meter's own (class, mounting) and
that of its spot, so it is what an acoustician would find who put up one more meter.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.footfall import footfall_field
from analytics.knowledge import learn_from
from analytics.noise import SPOT_SD, background_level, energy_mean, free_field, noise_field
from analytics.observations import ordered, said, seconds
from analytics.surroundings import Surroundings
from sensors.errors import ModelError
from sensors.night import Night
from sensors.reading import Records

_HOURS = (21, 23, 25, 27)  # local clock, of the evening on
_Z90 = 1.6449
_ENOUGH_S = 450.0  # of a step of 15 minutes
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LeftOut:
    """Errors of meters that were left out, one a meter and step: estimate less what it measured, in dB.

    site : (n,); error, sd : (n,), sd of the estimate; background : (n,), error of the sources' model alone
    """

    night: str
    site: NDArray[np.uint32]
    error: Floats
    sd: Floats
    background: Floats
    meter_sd: Floats

    @property
    def rms_db(self) -> float:
        """Root mean square error; errors in dB may be averaged, levels may not."""
        return float(np.sqrt(np.mean(self.error**2)))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        inside = np.abs(self.error) <= _Z90 * np.hypot(self.sd, self.meter_sd)
        return {
            "night": self.night,
            "meters": int(np.unique(self.site).size),
            "steps": int(self.error.size),
            "rms_db": round(self.rms_db, 2),
            "bias_db": round(float(np.mean(self.error)), 2),
            "rms_of_sources_alone_db": round(float(np.sqrt(np.mean(self.background**2))), 2),
            "within_90": round(float(np.mean(inside)), 3),
        }

    def json(self) -> str:
        """One object."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def text(self) -> str:
        """For people."""
        told = self.to_dict()
        return (
            f"{told['night']}: {told['meters']} meters left out one by one, {told['steps']} quarter hours: error "
            f"{told['rms_db']:.1f} dB rms ({told['bias_db']:+.1f} dB on average; {told['rms_of_sources_alone_db']:.1f} "
            f"dB rms without any meter), {told['within_90']:.0%} within the 90 % interval. Not legal metrology."
        )


def leave_out(
    around: Surroundings,
    records: Records,
    night: Night,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LeftOut:
    """Leave each noise meter of a night out in turn, at four hours of it."""
    records = ordered(records)
    learnt = learn_from([], around)
    sites = around.sites
    rows = sites.of("sound_laeq")
    rows = rows[sites.inside[rows]]
    found: list[tuple[int, float, float, float]] = []
    for done, hour in enumerate(_HOURS):
        progress(done, len(_HOURS))
        step = night.at(hour)
        until = step + np.timedelta64(around.step_minutes, "m")
        told = said(records, sites, "sound_laeq", step, until)
        level = free_field(energy_mean(told, sites.site.size), sites.facade)
        speaking = rows[np.isfinite(level[rows]) & (seconds(told, sites.site.size)[rows] >= _ENOUGH_S)]
        people = footfall_field(around, learnt.footfall, learnt.coefficients, records, step)
        middle = step + np.timedelta64(around.step_minutes * 30, "s")
        alone = background_level(around, people.rate, middle)
        for row in speaking:
            others = records[records["site"] != sites.site[row]]
            field = noise_field(around, learnt.noise, people.rate, people.origin, others, step)
            at = (sites.row[row], sites.column[row])
            found.append(
                (int(row), float(field.level[at] - level[row]), float(field.sd[at]), float(alone[at] - level[row]))
            )
    if not found:
        raise ModelError(f"no noise meter has half a quarter hour of levels at the hours asked of {night.name}")
    row, error, sd, background = (np.array(column) for column in zip(*found, strict=True))
    at_site = row.astype(np.int64)
    return LeftOut(night.name, sites.site[at_site], error, sd, background, np.hypot(sites.meter_sd[at_site], SPOT_SD))
