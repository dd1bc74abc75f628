"""Reads EULUMDAT photometric files (.ldt): one value a line, 26 fixed lines, sets of lamps, ratios, angles, candela.

Intensities are cd per 1000 lm of the lamps, times the file's conversion factor. Sets of lamps are alternatives with
which the luminaire is sold; the first counts. A negative number of lamps is absolute photometry: the flux of the set is
the luminaire's. Isym says which planes stand in the file: 0 all, 1 one, 2 those from C 0 to 180, 3 those from C 270 by
0 to 90, 4 those from C 0 to 90. Dc or Dg of 0 means uneven steps; the angles are all listed in any case.

Stockmar, A.: EULUMDAT - ein Leuchtendatenformat fuer den europaeischen Beleuchtungsplaner, Licht 1990.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors.candela_table import (
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
from sensors.photometric_text import MOST_NUMBERS, count_numbers, digits_only, numbers, shown, whole

_FIXED = 26
_SET = 6
_RATIOS = 10
_MOST_SETS = 20
_MOST_PLANES, _MOST_GAMMAS = 721, 721
_SYMMETRY = ("none", "axial", "c0-c180", "c90-c270", "quadrant")
_DFF_OFF = 0.03
_STEP_OFF_DEG = 0.01
_LINES = {  # what stands on the fixed lines that are read
    2: "Ityp", 3: "Isym", 4: "Mc, the number of C planes", 5: "Dc, the step of C", 6: "Ng, the number of gammas",
    7: "Dg, the step of gamma", 16: "the length of the luminous area", 17: "its width", 18: "its height at C 0",
    19: "its height at C 90", 20: "its height at C 180", 21: "its height at C 270", 22: "DFF, the downward share",
    23: "LORL, the light output ratio", 24: "the conversion factor", 25: "the tilt in the measurement",
    26: "the number of sets of lamps",
}  # fmt: skip
_MAY_BE_EMPTY = {2, 5, 7, 16, 17, 18, 19, 20, 21, 24, 25}


@dataclass(frozen=True)
class LampSet:
    """One way to equip the luminaire: how many lamps (negative: absolute photometry), their flux in lm, watts."""

    lamps: float
    kind: str
    lumens: float
    watts: float


def looks_like_eulumdat(text: str) -> bool:
    """Whether lines 3, 4 and 6 of a text are counts, as they are in EULUMDAT."""
    lines = text.split("\n", 7)
    return len(lines) > 6 and all(_count(lines[number - 1]) for number in (3, 4, 6))


def read_eulumdat(text: str, name: str = "") -> Luminaire:
    """A luminaire from the text of a EULUMDAT file; LuminaireError says what is wrong with it, and on which line."""
    amount = text.count("\n") + 1
    if amount > MOST_NUMBERS:
        raise LuminaireError(f"{amount:,} lines are more than any file of a luminaire holds")
    lines = text.split("\n")
    if amount < _FIXED + _SET + _RATIOS:
        raise LuminaireError(
            f"the file ends at line {amount}; EULUMDAT has 26 fixed lines, lamps, ratios, angles and more"
        )
    fixed = {number: _number(lines, number, what) for number, what in _LINES.items()}
    isym = whole(fixed[3], "Isym on line 3", 0, 4)
    n_c = whole(fixed[4], "the number of C planes on line 4", 1, _MOST_PLANES)
    n_gamma = whole(fixed[6], "the number of gammas on line 6", 2, _MOST_GAMMAS)
    n_sets = whole(fixed[26], "the number of sets of lamps on line 26", 1, _MOST_SETS)
    stored = _stored(isym, n_c)
    first = _FIXED + _SET * n_sets + 1  # line of the first ratio
    needed = first - 1 + _RATIOS + n_c + n_gamma + stored * n_gamma
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < needed:
        raise LuminaireError(
            f"the file ends at line {len(lines):,} of {needed:,}: {stored} planes of {n_gamma} intensities behind "
            f"{n_c} C angles are announced; it is cut off or its counts are wrong"
        )
    if len(lines) > needed:
        raise LuminaireError(
            f"line {needed + 1:,} should be the end: {stored} planes of {n_gamma} intensities are announced, and "
            f"{len(lines) - needed:,} lines stand behind them"
        )
    chosen, warnings = _lamps(_sets(lines, n_sets))
    _ratios(lines, first)
    planes = _block(lines, first + _RATIOS, n_c)
    gamma = _block(lines, first + _RATIOS + n_c, n_gamma)
    table = _block(lines, first + _RATIOS + n_c + n_gamma, stored * n_gamma).reshape(stored, n_gamma)
    check_angles(planes, "C", 0.0, 360.0)
    check_angles(gamma, "gamma", 0.0, 180.0)
    check_candela(table)
    warnings += _step_words(planes, fixed[5], "C") + _step_words(gamma, fixed[7], "gamma") + gamma_warnings(gamma)
    c_deg, around = _around(planes, table, isym)
    conversion, said = _conversion(fixed[24])
    per_klm = around * conversion
    light = flux(c_deg, gamma, per_klm)
    warnings += said + _declared(fixed[22], fixed[23], light.total, light.down_share, chosen.lamps < 0)
    if fixed[25]:
        warnings.append(
            f"it was measured at a tilt of {fixed[25]:g} degrees, and its angles are those of the measurement"
        )
    if not text.endswith("\n"):
        warnings.append("the file does not end with a line end; was its last number cut?")
    lor, dff = fixed[23] / 100.0, fixed[22] / 100.0
    absolute = chosen.lamps < 0
    return Luminaire(
        name=lines[8].strip() or name,
        form="EULUMDAT",
        c_deg=c_deg,
        gamma_deg=gamma,
        candela=per_klm * (chosen.lumens / 1000.0),
        lumens=chosen.lumens * (lor if absolute else 1.0),
        lumens_per_klm=light.total / (lor if absolute else 1.0),
        lor=1.0 if absolute else lor,
        dff=dff,
        ulor=(1.0 if absolute else lor) * (1.0 - dff),
        watts=chosen.watts if chosen.watts > 0 else float("nan"),
        symmetry=_SYMMETRY[isym],
        size_m=_size(fixed),
        warnings=tuple(warnings),
    )


def _count(line: str) -> bool:
    try:
        return float(line.strip().replace(",", ".")).is_integer()
    except (ValueError, OverflowError):
        return False


def _number(lines: list[str], number: int, what: str) -> float:
    word = lines[number - 1].strip()
    if not word and number in _MAY_BE_EMPTY:
        return 0.0
    return _value(word, f"line {number} ({what})")


def _value(word: str, where: str) -> float:
    """One number, its decimals behind a point or a comma."""
    said = f"{where} is {shown(word)}"
    if len(word.split()) != 1:
        raise LuminaireError(f"{said}; expected one number")
    try:
        return numbers([digits_only(word.replace(",", "."))])[0]
    except LuminaireError as error:
        raise LuminaireError(f"{said}; expected a number ({error})") from error


def _stored(isym: int, n_c: int) -> int:
    """How many planes stand in the file."""
    if isym == 1:
        return 1
    part = {0: 1, 2: 2, 3: 2, 4: 4}[isym]
    if n_c % part:
        raise LuminaireError(f"{n_c} C planes cannot be symmetric as Isym {isym} says; expected a multiple of {part}")
    if isym == 3 and n_c % 4:
        raise LuminaireError(
            f"{n_c} C planes have none at C 270, where those of Isym 3 begin; expected a multiple of 4"
        )
    return n_c if isym == 0 else n_c // part + 1


def _sets(lines: list[str], n: int) -> list[LampSet]:
    """Sets of lamps: six lines of each set, or, as others write it, n lines of each of six."""
    block = lines[_FIXED : _FIXED + _SET * n]
    by_set = [block[_SET * at : _SET * (at + 1)] for at in range(n)]
    by_line = [block[at::n] for at in range(n)]
    refusal = None
    for rows in (by_set, by_line):
        try:
            return [_lamp_set(row, number) for number, row in enumerate(rows, 1)]
        except LuminaireError as error:
            refusal = refusal or error
    raise refusal or LuminaireError("there is no set of lamps")


def _lamp_set(row: list[str], number: int) -> LampSet:
    lamps = _value(row[0].strip() or "1", f"the number of lamps of set {number}")
    whole(abs(lamps), f"the number of lamps of set {number}", 1, 10_000)
    lumens = _value(row[2].strip(), f"the flux of set {number}")
    watts = _value(row[5].strip() or "0", f"the watts of set {number}")
    if not lumens > 0:
        raise LuminaireError(
            f"the flux of set {number} is {lumens:g} lm; without it intensities per 1000 lm say nothing"
        )
    if watts < 0:
        raise LuminaireError(f"the watts of set {number} are {watts:g}")
    return LampSet(lamps, row[1].strip(), lumens, watts)


def _lamps(sets: list[LampSet]) -> tuple[LampSet, list[str]]:
    """The set that counts, and a word on the others."""
    if len(sets) == 1:
        return sets[0], []
    told = [f"{shown(one.kind)} with {one.lumens:,.0f} lm and {one.watts:g} W" for one in sets]
    return sets[0], [f"the first of {len(sets)} sets of lamps counts, {told[0]}; not {', nor '.join(told[1:])}"]


def _ratios(lines: list[str], first: int) -> None:
    """Direct ratios are of no use outdoors, but what stands there must be they."""
    for at in range(_RATIOS):
        word = lines[first - 1 + at].strip()
        if word:
            _value(word, f"line {first + at} (a direct ratio)")


def _block(lines: list[str], first: int, count: int) -> Floats:
    """`count` numbers from line `first` (counted from 1) on, one a line."""
    rows = lines[first - 1 : first - 1 + count]
    joined = "\n".join(rows).replace(",", ".")
    try:
        data = digits_only(joined)
        if count_numbers(data) == count and all(map(str.strip, rows)):
            return np.array(numbers(data.split()), np.float64)
    except LuminaireError:
        pass
    for at, row in enumerate(rows):
        _value(row.strip(), f"line {first + at}")
    raise LuminaireError(f"lines {first} to {first + count - 1} do not hold one number each")


def _around(planes: Floats, table: Floats, isym: int) -> tuple[Floats, Floats]:
    """The whole circle, and LuminaireError where the angles listed are not those that the symmetry gives."""
    n = planes.size
    if isym == 1:
        return expanded(planes[:1], table, "axial")
    if isym == 0:
        if planes[-1] - planes[0] >= 360.0:
            raise LuminaireError("C angles run to 360, which is C 0 again; with Isym 0 the last one is below 360")
        return expanded(planes, table, "none") if n > 1 else expanded(planes, table, "axial")
    if isym == 3:
        held = np.append(planes[3 * n // 4 :], planes[: n // 4 + 1] + 360.0)
        ends = (270.0, 450.0)
    else:
        held = planes[: len(table)]
        ends = (0.0, 180.0 if isym == 2 else 90.0)
    if (held[0], held[-1]) != ends:
        raise LuminaireError(
            f"planes of Isym {isym} run from C {ends[0]:g} to {ends[1] % 360:g}, here from {held[0]:g} to "
            f"{held[-1] % 360:g}"
        )
    if isym == 3:
        held, table = (540.0 - held)[::-1], table[::-1]  # I(C) = I(180 - C): from C 90 by 180 to 270
    c_deg, around = expanded(held, table, _SYMMETRY[isym])
    if c_deg.size != n or np.abs(c_deg - planes).max() > _STEP_OFF_DEG:
        raise LuminaireError(f"C angles are not symmetric as Isym {isym} says; each plane needs its mirror image")
    return c_deg, around


def _step_words(angles: Floats, step: float, what: str) -> list[str]:
    if step == 0 or angles.size < 2 or np.abs(np.diff(angles) - step).max() <= _STEP_OFF_DEG:
        return []
    return [f"{what} angles are not {step:g} degrees apart as the file says; its list of angles counts"]


def _conversion(factor: float) -> tuple[float, list[str]]:
    if factor < 0:
        raise LuminaireError(f"the conversion factor on line 24 is {factor:g}; it must be positive")
    if factor == 0:
        return 1.0, ["the conversion factor on line 24 is 0 or missing; 1 is taken"]
    return factor, [] if factor == 1 else [f"the conversion factor of line 24, {factor:g}, is in the intensities"]


def _declared(dff: float, lorl: float, per_klm: float, down_share: float, absolute: bool) -> list[str]:
    """What the declared shares of light say against the table."""
    for value, what in ((dff, "DFF on line 22"), (lorl, "LORL on line 23")):
        if not 0 <= value <= 100:
            raise LuminaireError(f"{what} is {value:g} %; expected 0 to 100")
    if lorl == 0:
        raise LuminaireError("LORL on line 23 is 0 %; a luminaire from which no light comes has no photometry")
    found = declared_warnings(per_klm, 10.0 * lorl, "LORL", "lm/klm")
    if absolute and lorl != 100:
        found.append(f"photometry is absolute, yet LORL is {lorl:g} %; the luminaire's flux is taken to be that share")
    if abs(down_share - dff / 100.0) > _DFF_OFF:
        found.append(f"DFF declares that {dff:g} % of the light goes down; in the table {100 * down_share:.1f} % do")
    return found


def _size(fixed: dict[int, float]) -> tuple[float, float, float]:
    """Length, width and height of the luminous area in metres; without a width it is round."""
    length, width = abs(fixed[16]) / 1000.0, abs(fixed[17]) / 1000.0
    return length, width or length, max(abs(fixed[number]) for number in (18, 19, 20, 21)) / 1000.0
