"""Lighting classes of EN 13201-2:2015 as tables, and what a calculation or a measurement says about a class.

All values are maintained ones. M classes are luminance classes (cd/m2): they read 'not assessed' here, since lux do not
say what a driver sees. Of P and C the averages, minima and uniformities are as manufacturers print them from the
standard; HS, SC and EV, and the limit of 1.5 times the average of a P class, have not been compared with the standard's
own text and are marked *provisional* wherever they are used.

A design (calculation at full light), an inference (the same, scaled by what lamps do now) and a measurement (a survey
as in EN 13201-4) are three methods and never mixed; each verdict names its own. A calculation meets the *values* of a
class; whether a street complies is for a measurement and for whoever answers for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

FAMILIES = ("M", "C", "P", "HS", "SC", "EV")
PROVISIONAL = ("HS", "SC", "EV")  # families whose thresholds have not been compared with the standard's text
OVER_LIT = 1.5  # times the average of a P class; provisional, from memory of EN 13201-2:2015 table 3
_EQUAL = 1e-9  # relative: a value that is the threshold but for rounding reaches it


class Method(StrEnum):
    """How the values came to be."""

    DESIGN = "design"
    INFERRED = "inferred"
    MEASURED = "measured"


class Word(StrEnum):
    """All that a verdict can be."""

    MEETS = "meets the values"
    MISSES = "does not meet the values"
    OVER_LIT = "over-lit"
    CANNOT_TELL = "cannot tell"
    NOT_ASSESSED = "not assessed"
    NOTHING_REQUIRED = "nothing required"


_HOW = {
    Method.DESIGN: "by calculation",
    Method.INFERRED: "by calculation with what the lamps do",
    Method.MEASURED: "as measured",
}


@dataclass(frozen=True)
class Limit:
    """One value that a class asks for: the quantity must not be below it."""

    quantity: str  # a key of `Values`
    least: float
    unit: str
    provisional: bool


@dataclass(frozen=True)
class LightingClass:
    """A class: its limits, none where it asks for nothing, and the average beyond which a street is over-lit."""

    name: str
    family: str
    limits: tuple[Limit, ...]
    most_average_lx: float | None = None


@dataclass(frozen=True)
class Span:
    """A value with its 90 % interval; both ends are the value where it is taken as exact."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Span:
        """A value without an interval."""
        return cls(value, value, value)


# E_avg, E_min, U_o : horizontal; Ehs_avg, Ehs_U_o : hemispherical; Esc_min, Ev_min : lowest of both ways along
Values = Mapping[str, Span]


def _classes() -> dict[str, LightingClass]:
    found: dict[str, LightingClass] = {}

    def add(name: str, *limits: tuple[str, float, str, bool], most: float | None = None) -> None:
        family = name.rstrip("0123456789")
        found[name] = LightingClass(name, family, tuple(Limit(*limit) for limit in limits), most)

    for number in range(1, 7):
        add(f"M{number}")
    for number, average in enumerate((50.0, 30.0, 20.0, 15.0, 10.0, 7.5)):
        add(f"C{number}", ("E_avg", average, "lx", False), ("U_o", 0.40, "", False))
    for number, average in enumerate((15.0, 10.0, 7.5, 5.0, 3.0, 2.0), 1):
        limits = (("E_avg", average, "lx", False), ("E_min", average / 5, "lx", False))
        add(f"P{number}", *limits, most=OVER_LIT * average)
    add("P7")
    for number, average in enumerate((5.0, 2.5, 1.0), 1):
        add(f"HS{number}", ("Ehs_avg", average, "lx", True), ("Ehs_U_o", 0.15, "", True))
    add("HS4")
    for number, least in enumerate((10.0, 7.5, 5.0, 3.0, 2.0, 1.5, 1.0, 0.75, 0.5), 1):
        add(f"SC{number}", ("Esc_min", least, "lx", True))
    for number, least in enumerate((50.0, 30.0, 10.0, 7.5, 5.0, 0.5), 1):
        add(f"EV{number}", ("Ev_min", least, "lx", True))
    return found


CLASSES = _classes()


@dataclass(frozen=True)
class Verdict:
    """What can be said about one class.

    over_lit : None where it cannot be told or the class knows no such limit
    margin : of the value that is tightest, its share above (or below) its limit; None without values
    tightest : the name of that value; provisional : what in the verdict rests on an unchecked threshold
    """

    required: str
    verdict: Word
    method: Method
    over_lit: bool | None
    margin: float | None
    tightest: str
    reason: str
    provisional: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For people."""
        how = _HOW[self.method]
        head = {
            Word.MEETS: f"meets the values of {self.required} {how}",
            Word.MISSES: f"does not meet the values of {self.required} {how}",
            Word.OVER_LIT: f"over-lit for {self.required} {how}",
            Word.CANNOT_TELL: f"{self.required}: cannot tell",
            Word.NOT_ASSESSED: f"{self.required}: not assessed",
            Word.NOTHING_REQUIRED: f"{self.required or 'no class'}: nothing required",
        }[self.verdict]
        tail = f" ({self.reason})" if self.reason else ""
        mark = f" [provisional: {'; '.join(self.provisional)}]" if self.provisional else ""
        return head + tail + mark

    def to_dict(self) -> dict[str, Any]:
        """As commands print it."""
        return {**asdict(self), "provisional": list(self.provisional), "sentence": self.sentence}


def judge(required: str, values: Values, method: Method, *, photometry_known: bool = True) -> Verdict:
    """What values say about a class.

    Parameters
    ----------
    required : name of a class; '' asks for nothing
    values : what is known; a quantity that is not there is not known
    photometry_known : False where the lamps' distribution is a default; then nothing is decided
    """
    if not required:
        return _verdict("", Word.NOTHING_REQUIRED, method)
    wanted = CLASSES[required]
    if wanted.family == "M":
        return _verdict(required, Word.NOT_ASSESSED, method, reason="a luminance class; lux do not tell it")
    if not wanted.limits:
        return _verdict(required, Word.NOTHING_REQUIRED, method)
    margin, tightest = _margin(wanted, values)
    provisional = tuple(_words(limit) for limit in wanted.limits if limit.provisional)
    if not photometry_known:
        reason = "the lamps' light distribution is a default, not a photometric file"
        return _verdict(required, Word.CANNOT_TELL, method, None, margin, tightest, reason, provisional)
    missed = [limit for limit in wanted.limits if _below(limit, values)]
    unsure = [limit for limit in wanted.limits if not _below(limit, values) and not _reached(limit, values)]
    over = _over(wanted, values)
    most = "" if wanted.most_average_lx is None else f"E_avg at most {wanted.most_average_lx:g} lx"
    if missed:
        reason = ", ".join(f"{limit.quantity} {_number(values[limit.quantity])} < {limit.least:g}" for limit in missed)
        return _verdict(required, Word.MISSES, method, over, margin, tightest, reason, provisional)
    if unsure:
        reason = ", ".join(_why_unsure(limit, values) for limit in unsure)
        return _verdict(required, Word.CANNOT_TELL, method, over, margin, tightest, reason, provisional)
    if most:
        provisional = (*provisional, most)
    if over:
        reason = f"E_avg {_number(values['E_avg'])} lx is above {OVER_LIT:g} times the class's average"
        return _verdict(required, Word.OVER_LIT, method, over, margin, tightest, reason, provisional)
    if most and over is None:
        reason = f"all least values are reached; E_avg may be above {wanted.most_average_lx:g} lx, which is over-lit"
        return _verdict(required, Word.CANNOT_TELL, method, over, margin, tightest, reason, provisional)
    return _verdict(required, Word.MEETS, method, over, margin, tightest, "", provisional)


def highest_met(family: str, values: Values) -> str | None:
    """The highest class of a family whose least values are all reached; None without one, or where they are not lux.

    >>> highest_met("P", {"E_avg": Span.exact(8.0), "E_min": Span.exact(1.1)})
    'P4'
    """
    for name, wanted in CLASSES.items():
        if wanted.family == family and wanted.limits and all(_reached(limit, values) for limit in wanted.limits):
            return name
    return None


def _verdict(
    required: str,
    word: Word,
    method: Method,
    over: bool | None = None,
    margin: float | None = None,
    tightest: str = "",
    reason: str = "",
    provisional: tuple[str, ...] = (),
) -> Verdict:
    return Verdict(required, word, method, over, margin, tightest, reason, provisional)


def _reached(limit: Limit, values: Values) -> bool:
    return limit.quantity in values and values[limit.quantity].low >= limit.least * (1 - _EQUAL)


def _below(limit: Limit, values: Values) -> bool:
    return limit.quantity in values and values[limit.quantity].high < limit.least * (1 - _EQUAL)


def _over(wanted: LightingClass, values: Values) -> bool | None:
    """Whether the average is beyond what a P class allows; None where the interval straddles it or nothing is known."""
    if wanted.most_average_lx is None or "E_avg" not in values:
        return None
    average = values["E_avg"]
    if average.low > wanted.most_average_lx * (1 + _EQUAL):
        return True
    return None if average.high > wanted.most_average_lx * (1 + _EQUAL) else False


def _margin(wanted: LightingClass, values: Values) -> tuple[float | None, str]:
    known = [limit for limit in wanted.limits if limit.quantity in values]
    if not known:
        return None, ""
    shares = {limit.quantity: values[limit.quantity].value / limit.least - 1.0 for limit in known}
    tightest = min(shares, key=lambda quantity: shares[quantity])
    return shares[tightest], tightest


def _why_unsure(limit: Limit, values: Values) -> str:
    if limit.quantity not in values:
        return f"{limit.quantity} is not known"
    span = values[limit.quantity]
    return f"{limit.quantity} {span.low:.3g} to {span.high:.3g} straddles {limit.least:g}"


def _number(span: Span) -> str:
    return f"{span.value:.3g}" if span.low == span.high else f"{span.low:.3g} to {span.high:.3g}"


def _words(limit: Limit) -> str:
    return f"{limit.quantity} at least {limit.least:g} {limit.unit}".rstrip()
