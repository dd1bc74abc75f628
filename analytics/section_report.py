"""One street section as it is asked for on the command line: checked, computed and said in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analytics.lighting_classes import CLASSES, Verdict
from analytics.photometry import light_output
from analytics.street_light import (
    ARRANGEMENTS,
    Isotropic,
    Lambert,
    Luminaires,
    Source,
    StreetLight,
    calculation_grid,
    energy_density,
    power_density,
    power_of,
    read_positions,
    rows_of,
    source_named,
    street_light,
    street_share,
)
from sensors.city import DIMMING_CURVES
from sensors.errors import LightingError, gather
from sensors.luminaire import ORIENTATIONS

_STREET_SIDE = 0.495  # of the flux; a luminaire for roads gives its street more than its back, a symmetric one half
NOTE = (
    "a design calculation on the grid of EN 13201-3, direct light only; not a measurement. Luminance (M classes), "
    "glare (fTI) and edge illuminance (REI) are not computed"
)


@dataclass(frozen=True)
class Section:
    """What is asked."""

    luminaire: str
    width_m: float
    height_m: float | None = None
    spacing_m: float | None = None
    overhang_m: float = 0.0
    arrangement: str = "single"
    positions: Path | None = None
    begin_m: float | None = None
    maintenance_factor: float = 1.0
    dimming: float = 1.0
    curve: str = "linear"
    tilt_deg: float = 0.0
    rotation_deg: float = 0.0
    orientation: str = ""
    classes: tuple[str, ...] = ()
    watts: float | None = None
    hours: float = 4000.0

    @property
    def level(self) -> float:
        """Light output that the dimming asks for, 0..1."""
        return float(light_output(np.array([self.dimming]), np.array([DIMMING_CURVES.index(self.curve)], np.uint8))[0])


@dataclass(frozen=True)
class Report:
    """What came of it."""

    section: Section
    light: StreetLight
    length_m: float
    orientation: str
    verdicts: tuple[Verdict, ...]
    watts: float | None  # that light the field; None where it cannot be told
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `noctule street-light --json` prints it."""
        content = self.light.to_dict()
        content["verdicts"] = [verdict.to_dict() for verdict in self.verdicts]
        content["method"] = "design"
        content["maintenance_factor"] = self.section.maintenance_factor
        content["orientation"] = self.orientation
        content["energy"] = self._energy()
        content["notes"] = list(self.notes)
        return content

    def text(self) -> str:
        """For people."""
        section, light, grid = self.section, self.light, self.light.grid
        values = light.values()
        what = str(section.positions) if section.positions else f"{section.arrangement}, {section.height_m:g} m high"
        met = light.to_dict()["classes"]
        lines = [
            f"Field {self.length_m:g} x {section.width_m:g} m, {what}, {light.luminaires} luminaires, maintenance "
            f"factor {section.maintenance_factor:g}, light output {section.level:.3g}",
            f"  grid             {grid.along.size} x {grid.across.size} points, D {grid.step_along:.2f} m, d "
            f"{grid.step_across:.2f} m",
            f"  horizontal       average {values['E_avg'].value:.2f} lx, lowest {values['E_min'].value:.3g}, highest "
            f"{light.horizontal.max():.3g}, Uo {values['U_o'].value:.2f}",
            f"  semi-cylindrical lowest at 1.5 m {light.semicylindrical_forward.min():.3g} lx forward (facing +x), "
            f"{light.semicylindrical_back.min():.3g} back",
            f"  vertical         lowest at 1.5 m {light.vertical_forward.min():.3g} lx forward, "
            f"{light.vertical_back.min():.3g} back",
            f"  hemispherical    average {values['Ehs_avg'].value:.2f} lx, Uo {values['Ehs_U_o'].value:.2f}",
            "  least values reached by calculation: "
            + ", ".join(f"{family} {name or 'none'}" for family, name in met.items())
            + " (HS, SC, EV: provisional thresholds)",
            *(f"  {verdict.sentence}" for verdict in self.verdicts),
        ]
        energy = self._energy()
        if energy is not None:
            density = "not told in the dark" if energy["D_P"] is None else f"{1000 * energy['D_P']:.1f} mW/(lx m2)"
            lines.append(
                f"  EN 13201-5       D_P {density}, D_E "
                f"{energy['D_E'] / 1000:.2f} kWh/m2 a year ({energy['assumptions']})"
            )
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _energy(self) -> dict[str, Any] | None:
        if self.watts is None:
            return None
        density = power_density(self.watts, self.light)
        return {
            "watts": self.watts,
            "D_P": density if math.isfinite(density) else None,
            "D_E": energy_density(self.watts, self.section.hours, self.light),
            "hours": self.section.hours,
            "assumptions": f"{self.watts:.3g} W light the field, {self.section.hours:g} h a year at light output "
            f"{self.section.level:.3g}, a driver's own share of 8 %, this area alone and no strips beside it",
        }


def report(section: Section) -> Report:
    """Compute a section; LightingError says all that is wrong with what is asked."""
    section = replace(section, classes=tuple(name.upper() for name in section.classes))
    _check(section)
    source = source_named(section.luminaire)
    orientation = section.orientation or str(getattr(source, "usual_orientation", "street-c0"))
    luminaires, length, begin = _laid_out(section)
    light = street_light(
        source,
        luminaires,
        calculation_grid(length, section.width_m, begin),
        maintenance_factor=section.maintenance_factor,
        orientation=orientation,
    )
    return Report(
        section=section,
        light=light,
        length_m=length,
        orientation=orientation,
        verdicts=tuple(light.verdict(name) for name in section.classes),
        watts=_watts(section, source),
        notes=_notes(section, source, orientation, luminaires),
    )


def _check(section: Section) -> None:
    problems = [
        f"class '{name}' is not known; expected one like P3, C4, SC5, HS2, EV3 or M4"
        for name in section.classes
        if name not in CLASSES
    ]
    if section.positions is None:
        missing = [
            f"--{name}"
            for name, value in (("height", section.height_m), ("spacing", section.spacing_m))
            if value is None
        ]
        if missing:
            problems.append(f"{' and '.join(missing)} must be given, or --positions FILE.csv")
        if section.begin_m is not None:
            problems.append("--from goes with --positions; a regular road's field begins at a luminaire")
    elif section.arrangement not in ARRANGEMENTS or section.arrangement != "single":
        problems.append("--arrangement does not go with --positions, which say where each luminaire stands")
    if section.watts is not None and not 0 <= section.watts <= 1e5:
        problems.append(f"watts {section.watts:g} must lie between 0 and 100,000")
    if section.curve not in DIMMING_CURVES:
        problems.append(f"curve '{section.curve}' is none of {', '.join(DIMMING_CURVES)}")
    if not 0 <= section.dimming <= 1:
        problems.append(f"dim is {section.dimming:g}; a level lies between 0 and 1")
    if not 0 <= section.hours <= 8784:
        problems.append(f"hours {section.hours:g} must be hours of a year")
    if problems:
        raise LightingError(gather("street section", problems))


def _laid_out(section: Section) -> tuple[Luminaires, float, float]:
    """The luminaires, and the length and the beginning of the field in metres.

    A table's field is one spacing from x = 0 where a spacing is given, otherwise all from the first luminaire to the
    last.
    """
    if section.positions is None:
        assert section.height_m is not None
        assert section.spacing_m is not None
        rows = rows_of(
            section.arrangement,
            height_m=section.height_m,
            spacing_m=section.spacing_m,
            width_m=section.width_m,
            overhang_m=section.overhang_m,
            level=section.level,
            tilt_deg=section.tilt_deg,
            rotation_deg=section.rotation_deg,
        )
        return rows, section.spacing_m, 0.0
    luminaires = read_positions(
        section.positions,
        width_m=section.width_m,
        height_m=section.height_m,
        level=section.level,
        tilt_deg=section.tilt_deg,
        rotation_deg=section.rotation_deg,
    )
    first, last = float(luminaires.along.min()), float(luminaires.along.max())
    begin = section.begin_m if section.begin_m is not None else 0.0 if section.spacing_m is not None else first
    length = section.spacing_m if section.spacing_m is not None else last - begin
    if section.spacing_m is None and not length > 0:
        raise LightingError(
            f"{section.positions}: no luminaire stands beyond x = {begin:g}, so the field has no length; say how long "
            "it is with --spacing"
        )
    return luminaires, length, begin


def _watts(section: Section, source: Source) -> float | None:
    """Power that lights the field: a luminaire a row and spacing; not told for a table, whose rows nobody counts."""
    own = getattr(source, "watts", math.nan)
    watts = section.watts if section.watts is not None else own if math.isfinite(own) and own > 0 else None
    if watts is None or section.positions is not None:
        return None
    return power_of(watts, section.level) * (1 if section.arrangement == "single" else 2)


def _notes(section: Section, source: Source, orientation: str, luminaires: Luminaires) -> tuple[str, ...]:
    notes = [NOTE]
    if isinstance(source, (Isotropic, Lambert)):
        notes.append("the light source is an ideal one, not a luminaire's photometric file")
    else:
        chosen = "as asked" if section.orientation else "as usual for files of this form; the file cannot say"
        notes.append(f"the file's street side is taken at {orientation.removeprefix('street-').upper()}, {chosen}")
        shares = {side: street_share(source, side, section.rotation_deg) for side in ORIENTATIONS}
        best = max(shares, key=lambda side: shares[side])
        if shares[orientation] < _STREET_SIDE and shares[best] > 0.5:
            notes.append(
                f"only {100 * shares[orientation]:.0f} % of its light leaves on that side, and "
                f"{100 * shares[best]:.0f} % with --orientation {best}: is its street side there?"
            )
        notes += [str(warning) for warning in getattr(source, "warnings", ())]
    if section.maintenance_factor == 1.0:
        notes.append("maintenance factor 1: as new and clean; classes ask for maintained values, 0.80 to 0.90 for LED")
    if section.spacing_m is not None and section.positions is None:
        reach = 5 * float(luminaires.height_m.max())
        if 5 * section.spacing_m < reach:
            notes.append(f"luminaires are nearer than their height: five spacings are less than {reach:g} m")
    return tuple(notes)
