"""What a counter's number says of the people who passed: dead time and gain, and both fitted to manual counts.

A beam or a radio sees no second person within its dead time tau. Of a flow n (persons/s) it tells

    o = n / (1 + n tau)      recovering: who comes within the dead time is not seen
    o = n exp(-n tau)        extending: and makes it last longer (valid below n = 1/tau, o = 1/(e tau))

(Knoll 2010, ch. 4; at 1 person/s and 0.5 s a third is lost, just when it is crowded: sensing.md C1). The people who
passed are gain x what dead time leaves, gain above 1 for a counter that people walk around. Manual counts in a quiet
and a busy quarter of an hour tell both; what is left between them and the fit tells how sure they are. A counter of
radio devices has no dead time, and no gain before it is calibrated: then it says nothing of people at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.errors import CityError

MAPE_LIMIT, BIAS_LIMIT = 0.15, 0.05  # of quarter hours at peak, and overall (sensing.md C1)
_NO_LOAD = 1e-9  # of one: below it -W(-x) / x is 1 + x, and so small an x may have lost all its digits
_REGIMES = 2.0  # a busy count is at least so many times the flow of a quiet one
_SPREAD = 0.10  # ln, of single counts around the fit: people who count err by some per cent, and walk in groups
_SPREAD_COUNTS = 2.0  # manual counts that outweigh it
_ENOUGH = 5  # manual counts of which each can be predicted by the others
_DEAD_TIME_S = 0.5  # of usual beams; the scale of the prior
_GAIN_SD = 0.4  # ln; of devices a person carries, about three times as wide
_DEVICES_SD = 1.2
_TEXT = re.compile(r"^counter gain=(\S+) gain_sd=(\S+) dead_time_s=(\S+) (recovering|extending)\b")


@dataclass(frozen=True)
class Gains:
    """Calibrations by row of `Sites`; (n,) arrays, or of size 0 where nothing is calibrated.

    gain : people for each one that is told, NaN not calibrated; sd : of its ln; dead_time_s; extending : bool
    """

    gain: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    sd: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    dead_time_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    extending: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    @classmethod
    def read(cls, texts: Iterable[str]) -> "Gains":
        """From the register's column `calibration`; any other text there calibrates no counter."""
        told = [_read(text) for text in texts]
        if not any(told):
            return cls()
        plain = [one or (np.nan, 0.0, 0.0, False) for one in told]
        gain, sd, dead_time_s, extending = zip(*plain, strict=True)
        return cls(np.array(gain, np.float64), np.array(sd, np.float64), np.array(dead_time_s, np.float64),
                   np.array(extending, bool))  # fmt: skip

    def calibrated(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these sites has a gain."""
        return np.isfinite(self.gain[rows]) if self.gain.size else np.zeros(rows.shape, bool)

    def people(
        self, rows: NDArray[np.int64], count: NDArray[np.float64], seconds: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """People who passed, by what sites of these rows told over some seconds; as told where not calibrated."""
        known = self.calibrated(rows)
        if not known.any():
            return count
        people = count.astype(np.float64)
        for extends in (False, True):
            among = np.flatnonzero(known & (self.extending[rows] == extends))
            which = rows[among]
            seen = without_dead_time(count[among], seconds[among], self.dead_time_s[which], extending=extends)
            people[among] = self.gain[which] * seen
        return people

    def variance(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Variance of the ln gain; NaN where not calibrated."""
        if not self.gain.size:
            return np.full(rows.shape, np.nan)
        return np.where(np.isfinite(self.gain[rows]), self.sd[rows] ** 2, np.nan)


@dataclass(frozen=True)
class Calibration:
    """A fitted gain with its 90 % interval, and whether it may be used.

    mape : mean absolute error of the busier half of the counts, each predicted without itself where five or more are
    given; bias : of all people together; problem : why it is not accepted, empty if it is
    """

    gain: float
    gain_sd: float
    dead_time_s: float
    extending: bool
    counts: int
    mape: float
    bias: float
    problem: str

    @property
    def interval(self) -> tuple[float, float]:
        """90 % of the gain."""
        reach = np.exp(1.645 * self.gain_sd)
        return float(self.gain / reach), float(self.gain * reach)

    @property
    def accepted(self) -> bool:
        """Whether it keeps both limits."""
        return not self.problem

    def to_dict(self) -> dict[str, Any]:
        """For a machine."""
        low, high = self.interval
        return {
            "gain": self.gain, "gain_low": low, "gain_high": high, "dead_time_s": self.dead_time_s,
            "dead_time": "extending" if self.extending else "recovering", "counts": self.counts, "mape_peak": self.mape,
            "bias": self.bias, "accepted": self.accepted, "problem": self.problem,
        }  # fmt: skip

    def text(self, on: str) -> str:
        """As it stands in the register."""
        return (
            f"counter gain={self.gain:.4f} gain_sd={self.gain_sd:.4f} dead_time_s={self.dead_time_s:.2f} "
            f"{'extending' if self.extending else 'recovering'}; {self.counts} manual counts until {on}, "
            f"error at peak {100 * self.mape:.0f} %, bias {100 * self.bias:+.1f} %"
        )


def with_dead_time(
    people: NDArray[np.float64], seconds: NDArray[np.float64], dead_time_s: float, *, extending: bool
) -> NDArray[np.float64]:
    """What a counter with a dead time tells of people who pass within some seconds.

    >>> with_dead_time(np.array([900.0]), np.array([900.0]), 0.5, extending=False).round(1).tolist()
    [600.0]
    """
    load = people / seconds * dead_time_s
    return np.asarray(people * np.exp(-load) if extending else people / (1.0 + load))


def without_dead_time(
    told: NDArray[np.float64],
    seconds: NDArray[np.float64],
    dead_time_s: NDArray[np.float64] | float,
    *,
    extending: bool,
) -> NDArray[np.float64]:
    """The people behind a count, the inverse of `with_dead_time`; beyond what could be told, the most that could."""
    from scipy.special import lambertw

    load = np.asarray(told, np.float64) / seconds * dead_time_s
    if extending:
        full = np.clip(load, _NO_LOAD, np.exp(-1.0))
        return np.asarray(np.where(load > _NO_LOAD, told * (-lambertw(-full).real / full), told * (1.0 + load)))
    return np.asarray(told / (1.0 - np.minimum(load, 0.95)))


def calibrate(
    told: Sequence[float], people: Sequence[float], seconds: Sequence[float], *, devices: bool = False
) -> Calibration:
    """Fit gain and dead time to manual counts beside what the counter told; CityError when they cannot tell."""
    seen, passed, lasted = (np.asarray(values, np.float64) for values in (told, people, seconds))
    _check(seen, passed, lasted)
    forms = [False] if devices else [False, True]
    fits = [_fit(seen, passed, lasted, extending=extending, devices=devices) for extending in forms]
    gain, sd, dead_time_s, extending, _ = max(fits, key=lambda fit: fit[-1])
    predicted = gain * without_dead_time(seen, lasted, dead_time_s, extending=extending)
    alone = predicted
    if passed.size >= _ENOUGH:
        kept = ~np.eye(passed.size, dtype=bool)
        fits = [_fit(seen[keep], passed[keep], lasted[keep], extending=extending, devices=devices) for keep in kept]
        alone = np.array([_predicted(fit, *one) for fit, *one in zip(fits, seen, lasted, strict=True)])
    flow = passed / lasted
    busy = flow >= np.median(flow)
    mape = float(np.mean(np.abs(alone[busy] - passed[busy]) / passed[busy]))
    bias = float(np.sum(predicted) / np.sum(passed) - 1.0)
    problems = []
    if mape > MAPE_LIMIT:
        problems.append(f"at peak it errs by {100 * mape:.0f} %, more than {100 * MAPE_LIMIT:.0f} %")
    if abs(bias) > BIAS_LIMIT:
        problems.append(f"over all counts it is off by {100 * bias:+.1f} %, more than {100 * BIAS_LIMIT:.0f} %")
    return Calibration(gain, sd, dead_time_s, extending, passed.size, mape, bias, "; ".join(problems))


def _read(text: str) -> tuple[float, float, float, bool] | None:
    found = _TEXT.match(str(text))
    if not found:
        return None
    try:
        gain, sd, dead_time_s = (float(found[group]) for group in (1, 2, 3))
    except ValueError:
        return None
    usable = gain > 0 and np.isfinite(gain) and 0 <= sd < np.inf and 0 <= dead_time_s < np.inf
    return (gain, sd, dead_time_s, found[4] == "extending") if usable else None


def _check(told: NDArray[np.float64], people: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    if people.size < 2:
        raise CityError(f"{people.size} manual counts; two or more are needed, one of a quiet and one of a busy time")
    for name, values in (("counts of the counter", told), ("people counted by hand", people), ("seconds", seconds)):
        if not np.all(np.isfinite(values) & (values > 0)):
            raise CityError(f"{name} must all be above 0; leave out times in which nobody passed")
    flow = people / seconds
    if flow.max() < _REGIMES * flow.min():
        raise CityError(
            f"all manual counts are of about the same flow ({3600 * flow.min():.0f} to {3600 * flow.max():.0f} "
            "persons/h); count once when it is quiet and once at twice the flow or more"
        )


def _fit(
    told: NDArray[np.float64],
    people: NDArray[np.float64],
    seconds: NDArray[np.float64],
    *,
    extending: bool,
    devices: bool,
) -> tuple[float, float, float, bool, float]:
    """Gain, sd of its ln, dead time, its form, ln posterior at the best; over a grid of dead times."""
    # what is left of a count's own chance: people in the count that is missed or walked around are few or many by luck
    luck = 1.0 / told
    dead_times = np.array([0.0]) if devices else np.linspace(0.0, 4.0 * _DEAD_TIME_S, 81)
    possible = 0.95 / (told / seconds).max() * (np.exp(-1.0) if extending else 1.0)
    dead_times = dead_times[dead_times <= possible] if possible > 0 else dead_times[:1]
    seen = np.stack([without_dead_time(told, seconds, tau, extending=extending) for tau in dead_times])
    left = np.log(people) - np.log(seen)  # (dead times, counts): ln gain by each count
    prior_precision = 1.0 / (_DEVICES_SD if devices else _GAIN_SD) ** 2
    spread = np.full(dead_times.size, _SPREAD**2)
    for _ in range(4):  # the spread around each fit, and the gain that it weighs
        weight = 1.0 / (spread[:, None] + luck)
        ln_gain = np.sum(weight * left, axis=1) / (np.sum(weight, axis=1) + prior_precision)
        rest = np.sum((left - ln_gain[:, None]) ** 2, axis=1)
        spread = (_SPREAD_COUNTS * _SPREAD**2 + rest) / (_SPREAD_COUNTS + people.size)
    weight = 1.0 / (spread[:, None] + luck)
    log_posterior = (
        -0.5 * np.sum(weight * (left - ln_gain[:, None]) ** 2 - np.log(weight), axis=1)
        - 0.5 * prior_precision * ln_gain**2
        - 0.5 * (dead_times / (2.0 * _DEAD_TIME_S)) ** 2
    )
    share = np.exp(log_posterior - log_posterior.max())
    share /= share.sum()
    best = int(np.argmax(log_posterior))
    within = 1.0 / (np.sum(weight, axis=1) + prior_precision)
    mean = float(np.sum(share * ln_gain))
    variance = float(np.sum(share * (within + (ln_gain - mean) ** 2)))
    gain, dead_time_s, likely = (float(a[best]) for a in (np.exp(ln_gain), dead_times, log_posterior))
    return gain, float(np.sqrt(variance)), dead_time_s, extending, likely


def _predicted(fit: tuple[float, float, float, bool, float], told: float, seconds: float) -> float:
    gain, _, dead_time_s, extending, _ = fit
    return float(gain * without_dead_time(np.array([told]), np.array([seconds]), dead_time_s, extending=extending)[0])
