"""What a photometric file says, for people and as JSON, with what helps to choose which side faces the street."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sensors.candela_table import flux
from sensors.luminaire import ORIENTATIONS, Luminaire

_GAMMAS = (0, 10, 20, 30, 40, 50, 60, 65, 70, 75, 80, 85, 90)
_UPPER = (105, 120, 150, 180)
_COLUMNS, _ROWS = 21, 13  # of half a polar picture; a character is about twice as high as wide
_HALF_PLANES = 36
_FAR = tuple(range(50, 81, 2))  # gammas that light between the lanterns of a row
_REACHES = 1.4
_LEANS = 0.02  # of the flux, more on one side than on the other


def photometry_dict(luminaire: Luminaire, at: Sequence[tuple[float, float]] = ()) -> dict[str, Any]:
    """As `noctule photometry --json` prints it; C in the file's own convention, watts null where not said."""
    asked = luminaire.intensity([c for c, _ in at], [gamma for _, gamma in at])
    return {
        "lumens": round(luminaire.lumens, 3),
        "lumens_per_klm": round(luminaire.lumens_per_klm, 3),
        "lor": round(luminaire.lor, 6),
        "dff": round(luminaire.dff, 6),
        "ulor": round(luminaire.ulor, 6),
        "symmetry": luminaire.symmetry,
        "planes": int(luminaire.c_deg.size),
        "watts": None if math.isnan(luminaire.watts) else luminaire.watts,
        "peak_cd": round(float(luminaire.candela.max()), 3),
        "intensity": [
            {"c": c, "gamma": gamma, "cd": round(float(cd), 4)} for (c, gamma), cd in zip(at, asked, strict=True)
        ],
        "warnings": list(luminaire.warnings),
    }


def photometry_text(luminaire: Luminaire, at: Sequence[tuple[float, float]] = (), orientation: str = "") -> str:
    """For people: what the file holds, intensities in the main planes, and the light as the street sees it."""
    side = orientation or luminaire.usual_orientation
    light = flux(luminaire.c_deg, luminaire.gamma_deg, luminaire.candela).total
    name = "".join(letter for letter in luminaire.name if letter.isprintable())
    lines = [f"{name or 'without a name'} ({luminaire.form})", *_facts(luminaire, light), ""]
    lines += _planes(luminaire)
    if at:
        cd = luminaire.intensity([c for c, _ in at], [gamma for _, gamma in at])
        lines += [
            "",
            *(f"  C {c:g}, gamma {gamma:g}: {value:,.1f} cd" for (c, gamma), value in zip(at, cd, strict=True)),
        ]
    chosen = "as asked" if orientation else f"usual for {'EULUMDAT' if luminaire.form == 'EULUMDAT' else 'LM-63'}"
    lines += ["", f"  Its street side taken to be C {ORIENTATIONS[side]:g} ({side}, {chosen}):"]
    lines += [f"    {line}" for line in _pictures(luminaire.towards_street(side))]
    lines += [f"  {line}" for line in _sides(luminaire, side)]
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in luminaire.warnings)])


def half_shares(luminaire: Luminaire) -> dict[int, float]:
    """Shares of the flux that go to the halves around C 0, 90, 180 and 270 of the file."""
    offsets = (np.arange(2 * _HALF_PLANES) + 0.5) * (180.0 / (2 * _HALF_PLANES)) - 90.0
    lumens = {}
    for middle in (0, 90, 180, 270):
        c, gamma = np.meshgrid(middle + offsets, luminaire.gamma_deg, indexing="ij")
        mean = luminaire.intensity(c, gamma).mean(axis=0)
        lumens[middle] = flux(np.zeros(1), luminaire.gamma_deg, mean[None]).total
    return {
        middle: amount / max(lumens[middle] + lumens[(middle + 180) % 360], 1e-12) for middle, amount in lumens.items()
    }


def _facts(luminaire: Luminaire, light: float) -> list[str]:
    c, gamma = np.unravel_index(int(np.argmax(luminaire.candela)), luminaire.candela.shape)
    peak_c, peak_gamma = luminaire.c_deg[c], luminaire.gamma_deg[gamma]
    watts = luminaire.watts
    length, width, height = luminaire.size_m
    power = "power not said" if math.isnan(watts) else f"{watts:g} W, {light / watts:.1f} lm/W of the luminaire"
    lamps = f"{luminaire.lumens:,.0f} lm of lamps, " if luminaire.form == "EULUMDAT" and luminaire.lor < 1 else ""
    lor, dff, ulor = (100.0 * share for share in (luminaire.lor, luminaire.dff, luminaire.ulor))
    return [
        f"  flux       {lamps}{light:,.0f} lm leave the luminaire by its table ({luminaire.lumens_per_klm:.1f} lm/klm)",
        f"  shares     LOR {lor:.2f} %, DFF {dff:.2f} %, ULOR {ulor:.2f} %",
        f"  power      {power}",
        f"  table      {luminaire.c_deg.size} C planes x {luminaire.gamma_deg.size} gammas from "
        f"{luminaire.gamma_deg[0]:g} to {luminaire.gamma_deg[-1]:g}, symmetry {luminaire.symmetry}",
        f"  shines     from {length:.3g} x {width:.3g} x {height:.3g} m (length, width, height)",
        f"  peak       {luminaire.candela.max():,.0f} cd at C {peak_c:g}, gamma {peak_gamma:g}",
    ]


def _planes(luminaire: Luminaire) -> list[str]:
    """Intensities of the main planes, C as in the file."""
    upper = luminaire.ulor > 0 or luminaire.gamma_deg[-1] > 90
    gammas = [*_GAMMAS, *(_UPPER if upper else ())]
    lines = ["  candela    " + "".join(f"{f'C {c}':>9}" for c in (0, 90, 180, 270))]
    for gamma in gammas:
        values = luminaire.intensity([0.0, 90.0, 180.0, 270.0], gamma)
        lines.append(f"  gamma {gamma:>3}  " + "".join(f"{value:>9,.0f}" for value in values))
    return lines


def _pictures(luminaire: Luminaire) -> list[str]:
    """Polar pictures across and along the street, C = 90 being the street side."""
    c, gamma = np.meshgrid([0.0, 90.0, 180.0, 270.0], luminaire.gamma_deg)
    farthest = max(float(luminaire.intensity(c, gamma).max()), 1e-9)
    across, along = _polar(luminaire, 270.0, 90.0, farthest), _polar(luminaire, 180.0, 0.0, farthest)
    width = 2 * _COLUMNS + 1
    half = _COLUMNS + 1
    heads = (f"{'behind':<{half}}{'street':>{half - 1}}", f"{'one way':<{half}}{'the other':>{half - 1}}")
    titles = (f"{'across the street':^{width}}", f"{'along the street':^{width}}")
    return ["    ".join(titles).rstrip(), "    ".join(heads)] + [
        f"{left}    {right}".rstrip() for left, right in zip(across, along, strict=True)
    ]


def _polar(luminaire: Luminaire, left_c: float, right_c: float, farthest: float) -> list[str]:
    """Half planes to the left and right of a luminaire at the cross, filled as far as the light of `farthest` cd."""
    upward = luminaire.ulor > 0.02
    first = -_ROWS // 2 if upward else 0
    columns = np.arange(-_COLUMNS, _COLUMNS + 1) / _COLUMNS
    rows = np.arange(first, _ROWS + 1) / _ROWS
    across, down = np.meshgrid(columns, rows)
    gamma = np.degrees(np.arctan2(np.abs(across), down))
    reach = luminaire.intensity(np.where(across < 0, left_c, right_c), gamma) / farthest
    lit = np.hypot(across, down) <= reach
    picture = np.where(lit, "*", " ")
    picture[down[:, 0] == 0, _COLUMNS] = "+"
    picture[(across == 0) & (picture == " ")] = "."
    return ["".join(row) for row in picture]


def _sides(luminaire: Luminaire, side: str) -> list[str]:
    """Where the light goes, and whether that speaks for the side that was taken."""
    shares = half_shares(luminaire)
    told = ", ".join(f"C {c}: {100 * share:.0f} %" for c, share in shares.items())
    lines = [f"light towards the half around {told}"]
    street = int(ORIENTATIONS[side])
    other = (street + 90) % 360
    behind, ahead = shares[(street + 180) % 360], shares[street]
    sideways = abs(shares[other] - 0.5)
    if luminaire.symmetry == "axial":
        return [*lines, "it shines alike all around; its orientation changes nothing"]
    if behind > ahead + 2 * _LEANS:
        lines.append(f"more light goes behind than to the street; is its street side street-c{(street + 180) % 360}?")
    elif sideways > _LEANS and abs(ahead - 0.5) < sideways:
        said = "it leans along the street more than towards it; is its street side"
        lines.append(f"{said} street-c{_leaning(shares, other)}?")
    elif (across := _farthest(luminaire, street)) > _REACHES * (along := _farthest(luminaire, other)):
        lines.append(
            f"it throws farther across the street (to {across:,.0f} cd at gamma {_FAR[0]} to {_FAR[-1]}) than along it "
            f"({along:,.0f} cd), which few lanterns do; is its street side street-c{other % 180}?"
        )
    return lines


def _farthest(luminaire: Luminaire, c: int) -> float:
    """Greatest intensity towards C and its opposite at the gammas that reach along a street."""
    planes, gamma = np.meshgrid([float(c), float(c + 180)], _FAR)
    return float(luminaire.intensity(planes, gamma).max())


def _leaning(shares: dict[int, float], c: int) -> int:
    """Of two opposite sides that with more light."""
    return c if shares[c] >= 0.5 else (c + 180) % 360
