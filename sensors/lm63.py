"""Reads ANSI/IES LM-63 photometric files (.ies) of 1986, 1991, 1995, 2002 and 2019; type C only.

After the line `TILT=` a file is a row of numbers, parted by spaces, commas or line ends and wrapped anywhere: lamps,
lumens of one (-1: absolute photometry), multiplier, counts of vertical and of horizontal angles, type of photometry,
unit of length, width, length, height, ballast factor, a second factor, watts, the angles, the intensities by plane.
Intensities count with the multiplier, the ballast factor and the second factor (ballast-lamp photometric factor; "for
future use" in 1995 and 2002); in 2019 that place holds how the file came about, a code like 1.00010 that is no factor.

Factors of TILT say how the lamps' light changes when the luminaire is tilted away from how it was measured. That of
tilt 0 counts, as in an untilted scene of ies2rad, which applies them by the luminaire's tilt; the others are not
applied, and a warning gives their range.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from sensors.candela_table import (
    WARN_SHARE,
    Floats,
    check_angles,
    check_candela,
    declared_warnings,
    expanded,
    flux,
    gamma_warnings,
)
from sensors.errors import LuminaireError
from sensors.luminaire import Luminaire
from sensors.photometric_text import MOST_NUMBERS, count_numbers, digits_only, numbers, shown, text_of, whole

TiltFile = Callable[[str], bytes]

_TILT = re.compile(r"^[ \t]*TILT[ \t]*=[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_EDITION = re.compile(r"^(?:IESNA:? ?|(?:ANSI/)?(?:IESNA|IES)[: ]{1,2}LM-63-)(\d{2,4})\b", re.IGNORECASE)
_EDITIONS = {"86": "1986", "91": "1991", "95": "1995", "02": "2002", "19": "2019"}
_KEYWORD = re.compile(r"^[ \t]*\[([^\]\n]{1,60})\][ \t]*(.*)$", re.MULTILINE)
_DECIMAL_COMMA = re.compile(r"[ \t\n]\d{1,9},\d{1,9}[ \t\n]")
_MOST_HEAD = 200_000  # characters before TILT=
_HEAD = 13  # numbers before the angles
_MOST_TILTS = 361
_FEET = 0.3048
_SAME_ROUND = 0.01  # of the peak, between C 0 and C 360
_LITTLE_LOR = 0.15
GENERATIONS = {  # of LM-63-2019
    "1.00001": "of undefined origin",
    "1.00010": "a computer simulation, not a measurement",
    "1.00000": "measured by a laboratory that is not accredited",
    "1.00100": "measured by a laboratory that is not accredited, its lumens scaled",
    "1.01000": "measured by a laboratory that is not accredited, angles interpolated",
    "1.01100": "measured by a laboratory that is not accredited, angles interpolated and lumens scaled",
    "1.10000": "measured by an accredited laboratory",
    "1.10100": "measured by an accredited laboratory, its lumens scaled",
    "1.11000": "measured by an accredited laboratory, angles interpolated",
    "1.11100": "measured by an accredited laboratory, angles interpolated and lumens scaled",
}
_WELL_MADE = ("1.00001", "1.00000", "1.10000")  # nothing that a reader should hear of


def looks_like_lm63(text: str) -> bool:
    """Whether a text is an LM-63 file: it says so first, or has a line `TILT=`."""
    return _EDITION.match(text[:200].lstrip()) is not None or _TILT.search(text, 0, _MOST_HEAD) is not None


def read_lm63(text: str, name: str = "", tilt_file: TiltFile | None = None) -> Luminaire:
    """A luminaire from the text of an LM-63 file; LuminaireError says what is wrong with it.

    `name` where the file has none; `tilt_file` gives the bytes of a file of tilt factors that it names.
    """
    tilt = _TILT.search(text, 0, _MOST_HEAD)
    if tilt is None:
        raise LuminaireError("there is no line TILT=; an LM-63 file has one after its keywords")
    try:
        return _luminaire(text, tilt, name, tilt_file)
    except LuminaireError as error:
        if _DECIMAL_COMMA.search(text, tilt.end(), tilt.end() + _MOST_HEAD):
            raise LuminaireError(
                f"{error}; were decimals written with commas? in LM-63 a comma parts numbers"
            ) from error
        raise


def _luminaire(text: str, tilt: re.Match[str], name: str, tilt_file: TiltFile | None) -> Luminaire:
    edition, warnings = _edition(text[: tilt.start()])
    words = dict(reversed(_KEYWORD.findall(text, 0, tilt.start())))  # the first of a keyword that stands twice
    words = {key.strip().upper(): value.strip() for key, value in words.items()}
    data = digits_only(text[tilt.end() :].replace(",", " "))
    total = count_numbers(data)
    tilt_factor, used, said = _tilt(tilt.group(1).strip(), data, total, tilt_file)
    warnings += said
    head = _take(data, used, _HEAD, total, "the lamps and counts")
    lamps = whole(head[0], "the number of lamps", 1, 10_000)
    gamma, planes, table = _table(head, data, used + _HEAD, total)
    factor, said = _factor(head, edition)
    warnings += said
    symmetry, said = _symmetry(planes, table)
    warnings += said + gamma_warnings(gamma)
    c_deg, candela = expanded(planes, table * (factor * tilt_factor), symmetry)
    light = flux(c_deg, gamma, candela)
    if not light.total > 0:
        raise LuminaireError("the table has no flux; its intensities stand where there is no solid angle")
    rated, said = _rated(lamps, head[1], light.total, head[10] * head[11] if edition != "2019" else head[10])
    if head[1] == -1:
        said = said + _stated(words, light.total)
    if text[-1] not in "\n\t ,":
        warnings.append("the file does not end with a line end; was its last number cut?")
    lor = light.total / rated
    return Luminaire(
        name=_name(words) or name,
        form=f"LM-63-{edition}",
        c_deg=c_deg,
        gamma_deg=gamma,
        candela=candela,
        lumens=light.total,
        lumens_per_klm=1000.0 * lor,
        lor=lor,
        dff=light.down_share,
        ulor=lor * (1.0 - light.down_share),
        watts=head[12] if head[12] > 0 else float("nan"),
        symmetry=symmetry,
        size_m=_size(head),
        warnings=tuple(warnings + said),
    )


def _table(head: list[float], data: bytes, used: int, total: int) -> tuple[Floats, Floats, Floats]:
    """Gammas, C angles and intensities as they stand in the file, once their counts are those of what is there."""
    n_gamma = whole(head[3], "the number of vertical angles", 2, MOST_NUMBERS)
    n_c = whole(head[4], "the number of horizontal angles", 1, MOST_NUMBERS)
    _check_kind(head)
    if total - used != n_gamma + n_c + n_gamma * n_c:
        raise LuminaireError(_miscounted(n_gamma, n_c, total - used))
    if n_gamma * n_c > MOST_NUMBERS:
        raise LuminaireError(f"{n_c:,} planes of {n_gamma:,} intensities are more than any file of a luminaire holds")
    rest = np.array(numbers(data.split()[used:]), np.float64)
    gamma, planes = rest[:n_gamma], rest[n_gamma : n_gamma + n_c]
    table = rest[n_gamma + n_c :].reshape(n_c, n_gamma)
    check_angles(gamma, "vertical", 0.0, 180.0)
    check_angles(planes, "horizontal", 0.0, 360.0)
    check_candela(table)
    return gamma, planes, table


def _edition(head: str) -> tuple[str, list[str]]:
    """The year of the edition by the first line, which that of 1986 has not."""
    first = head.lstrip().split("\n", 1)[0].strip()
    found = _EDITION.match(first)
    if found is None:
        return "1986", []
    year = found.group(1)
    year = _EDITIONS.get(year, year)
    if year in _EDITIONS.values():
        return year, []
    return "2002", [f"edition {shown(first)} is not known; read as LM-63-2002"]


def _tilt(word: str, data: bytes, total: int, tilt_file: TiltFile | None) -> tuple[float, int, list[str]]:
    """The factor of the lamps as measured, how many numbers of the file were of tilt, and what to say of it."""
    kind = word.upper()
    if kind == "NONE":
        return 1.0, 0, []
    if kind == "INCLUDE":
        used, factors = _tilt_table(data, total)
        return *_at_rest(factors, used), _tilt_words(factors)
    if not word:
        raise LuminaireError("TILT= says nothing; expected NONE, INCLUDE or the name of a file of factors")
    if tilt_file is None:
        raise LuminaireError(
            f"TILT={shown(word)[1:-1]} names a file of factors, which is not at hand; put it beside the file"
        )
    try:
        own = digits_only(text_of(tilt_file(word)).replace(",", " "))
        amount = count_numbers(own)
        used, factors = _tilt_table(own, amount)
    except LuminaireError as error:
        raise LuminaireError(f"TILT={shown(word)[1:-1]}: {error}") from error
    if used != amount:
        raise LuminaireError(f"TILT={shown(word)[1:-1]}: {amount - used} numbers too many stand in the file of factors")
    return _at_rest(factors, 0)[0], 0, _tilt_words(factors)


def _tilt_table(data: bytes, total: int) -> tuple[int, Floats]:
    """How many numbers it took, and (n, 2) tilts in degrees and factors."""
    geometry, pairs = _take(data, 0, 2, total, "the tilt of the lamps")
    whole(geometry, "the lamp-to-luminaire geometry", 1, 3)
    n = whole(pairs, "the number of tilts", 1, _MOST_TILTS)
    values = np.array(_take(data, 2, 2 * n, total, "the factors of TILT"), np.float64)
    tilts, factors = values[:n], values[n:]
    check_angles(tilts, "tilt", 0.0, 180.0)
    if factors.min() < 0 or factors.max() > 5:
        raise LuminaireError("factors of TILT must lie between 0 and 5")
    return 2 + 2 * n, np.column_stack([tilts, factors])


def _at_rest(factors: Floats, used: int) -> tuple[float, int]:
    at_rest = float(factors[0, 1]) if factors[0, 0] == 0 else 1.0
    if not at_rest > 0:
        raise LuminaireError("the factor of TILT at 0 degrees is 0; the luminaire as measured would give no light")
    return at_rest, used


def _tilt_words(factors: Floats) -> list[str]:
    low, high = factors[:, 1].min(), factors[:, 1].max()
    said = []
    if factors[0, 0] == 0 and factors[0, 1] != 1:
        said.append(f"the factor of TILT at 0 degrees, {factors[0, 1]:g}, is in the intensities")
    if factors[0, 0] != 0:
        said.append(f"factors of TILT begin at {factors[0, 0]:g} degrees; at 0 it is taken to be 1")
    if high > low:
        said.append(
            f"the lamps' light changes with the luminaire's tilt, by factors {low:g} to {high:g}; intensities are "
            "those at tilt 0, a tilted luminaire gives more or less than shown"
        )
    return said


def _take(data: bytes, skip: int, count: int, total: int, what: str) -> list[float]:
    """`count` numbers behind the first `skip`, of `total` that are there."""
    if total < skip + count:
        raise LuminaireError(
            f"the file ends within {what}: {count} numbers are needed, {max(total - skip, 0)} are there"
        )
    return numbers(data.split(None, skip + count)[skip : skip + count])


def _check_kind(head: list[float]) -> None:
    kind = whole(head[5], "the type of photometry", 1, 3)
    if kind != 1:
        raise LuminaireError(
            f"photometry is of type {'CBA'[kind - 1]}, as for floodlights and headlamps; only type C is read, ask the "
            "maker for a file of type C"
        )
    whole(head[6], "the unit of length (1 feet, 2 metres)", 1, 2)
    if head[12] < 0:
        raise LuminaireError(f"the watts are {head[12]:g}; expected what the luminaire takes, or 0 where not known")


def _miscounted(n_gamma: int, n_c: int, there: int) -> str:
    needed = n_gamma + n_c + n_gamma * n_c
    if there < needed:
        return (
            f"the file ends within its table: {n_c:,} planes of {n_gamma:,} intensities need {needed:,} numbers with "
            f"their angles, {there:,} are there; it is cut off or its counts are wrong"
        )
    return f"{there - needed:,} numbers too many stand behind {n_c:,} planes of {n_gamma:,} intensities"


def _factor(head: list[float], edition: str) -> tuple[float, list[str]]:
    """What intensities are multiplied by, and what to say of the place that changed its meaning."""
    for value, what in ((head[2], "the multiplier"), (head[10], "the ballast factor"), (head[11], "the second factor")):
        if not 0 < value <= 1e6:
            raise LuminaireError(f"{what} is {value:g}; it must be positive, 1 where it does nothing")
    factor = head[2] * head[10]
    if edition != "2019":
        said = edition in ("1995", "2002") and head[11] != 1
        return factor * head[11], [
            f"the factor kept for future use, {head[11]:g}, is in the intensities"
        ] if said else []
    code = f"{head[11]:.5f}"
    if abs(float(code) - head[11]) < 1e-9 and code in GENERATIONS:
        return factor, [] if code in _WELL_MADE else [f"the file is {GENERATIONS[code]} (type {code})"]
    return factor, [f"{head[11]:g} is no type of file generation that LM-63-2019 knows; it is not taken for a factor"]


def _symmetry(planes: Floats, table: Floats) -> tuple[str, list[str]]:
    first, last = planes[0], planes[-1]
    if planes.size == 1:
        if first != 0:
            raise LuminaireError(f"the only horizontal angle is {first:g}; one that is the same all around stands at 0")
        return "axial", []
    if (first, last) == (90.0, 270.0):
        return "c90-c270", []
    if first != 0:
        raise LuminaireError(
            f"horizontal angles run from {first:g} to {last:g}; they begin at 0, or run from 90 to 270"
        )
    if last == 90:
        return "quadrant", []
    if last == 180:
        return "c0-c180", []
    if last == 360:
        seam = float(np.abs(table[0] - table[-1]).max() / table.max())
        return "none", [f"C 0 and C 360 differ by {100 * seam:.1f} % of the peak"] if seam > _SAME_ROUND else []
    widest = float(np.diff(planes).max())
    if last > 180 and 360.0 - last <= 1.5 * widest:
        return "none", [f"horizontal angles end at {last:g}; the circle is closed by C 0"]
    raise LuminaireError(
        f"horizontal angles end at {last:g}; they end at 0, 90, 180 or 360, which says how the light is symmetric"
    )


def _rated(lamps: int, lumens: float, integrated: float, factor: float) -> tuple[float, list[str]]:
    """Flux of the lamps, which for absolute photometry is the luminaire's, and whether it can be true."""
    if lumens < 0:
        if lumens != -1:
            raise LuminaireError(
                f"lumens of a lamp are {lumens:g}; expected what it gives, or -1 for absolute photometry"
            )
        return integrated, []
    if lumens == 0:
        raise LuminaireError("lumens of a lamp are 0; expected what it gives, or -1 for absolute photometry")
    rated = lamps * lumens
    if integrated > rated * factor:
        return rated, declared_warnings(integrated, rated * factor, "its lamps' light", "lm")
    if integrated < _LITTLE_LOR * rated * factor:
        return rated, [f"only {100 * integrated / rated:.1f} % of the lamps' light leaves; is the multiplier right?"]
    return rated, []


def _stated(words: dict[str, str], integrated: float) -> list[str]:
    """What a maker's own keyword for absolute lumens says against the table; of no standard, so it refuses nothing."""
    for key, value in words.items():
        if re.sub("[^A-Z]", "", key) != "ABSOLUTELUMENS":
            continue
        try:
            stated = float(value)
        except ValueError:
            continue
        if stated > 0 and abs(integrated / stated - 1.0) > WARN_SHARE:
            return [
                f"the table integrates to {integrated:,.1f} lm, its keyword [{shown(key)[1:-1]}] says {stated:,.1f} lm"
            ]
    return []


def _size(head: list[float]) -> tuple[float, float, float]:
    """Length, width and height of the luminous opening in metres; negative ones are round."""
    unit = _FEET if head[6] == 1 else 1.0
    width, length, height = (abs(value) * unit for value in head[7:10])
    if head[7] < 0 and head[8] == 0:
        length = width
    if head[8] < 0 and head[7] == 0:
        width = length
    return length, width, height


def _name(words: dict[str, str]) -> str:
    return next((words[key].strip('" ') for key in ("LUMINAIRE", "LUMCAT") if words.get(key, "").strip('" ')), "")
