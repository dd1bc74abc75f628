"""A luminaire's light: luminous intensity over the sphere, as its photometric file declares it.

C is the azimuth about the downward vertical, gamma the angle from it, degrees (CIE 121; EN 13032-1 C-gamma system).
In EULUMDAT and CIE files C = 90 faces the street, in LM-63 road files C = 0 does: I_cie(C) = I_iesna(C - 90). A file
cannot say which it is, so whoever uses a luminaire chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ORIENTATIONS = {f"street-c{c}": float(c) for c in (0, 90, 180, 270)}  # which C of the file faces the street


@dataclass(frozen=True)
class Luminaire:
    """What a photometric file says, its table expanded to the whole circle.

    c_deg : (n_c,) azimuths, ascending from 0, below 360; a single one is an axial distribution
    gamma_deg : (n_gamma,) ascending within 0..180; beyond them there is no light
    candela : (n_c, n_gamma) cd with all the file's multipliers, at full output and maintenance factor 1
    lumens : lamp flux in lm (absolute photometry and LM-63: flux of the luminaire); lor, dff, ulor : shares of it
    lumens_per_klm : flux of the luminaire a 1000 lm of lamp flux; watts : of the whole luminaire, NaN where not said
    symmetry : 'none', 'axial', 'c0-c180', 'c90-c270' or 'quadrant'; size_m : length, width, height of what
    shines
    """

    name: str
    form: str  # 'LM-63-1995', 'EULUMDAT', ...
    c_deg: Floats
    gamma_deg: Floats
    candela: Floats
    lumens: float
    lumens_per_klm: float
    lor: float
    dff: float
    ulor: float
    watts: float
    symmetry: str
    size_m: tuple[float, float, float]
    warnings: tuple[str, ...] = ()

    def intensity(self, c_deg: npt.ArrayLike, gamma_deg: npt.ArrayLike) -> Floats:
        """Intensity in cd towards C and gamma (degrees, any equal shapes), linear between the table's angles.

        C wraps around; outside the table's gamma there is no light.
        """
        c, gamma = np.broadcast_arrays(np.asarray(c_deg, np.float64) % 360.0, np.asarray(gamma_deg, np.float64))
        planes = np.append(self.c_deg, self.c_deg[0] + 360.0)
        table = np.vstack([self.candela, self.candela[:1]])
        c = np.where(c < planes[0], c + 360.0, c)
        i = np.clip(np.searchsorted(planes, c, side="right") - 1, 0, len(planes) - 2)
        u = (c - planes[i]) / (planes[i + 1] - planes[i])
        angles = self.gamma_deg
        inside = (gamma >= angles[0]) & (gamma <= angles[-1])
        if len(angles) == 1:
            value = (1 - u) * table[i, 0] + u * table[i + 1, 0]
            return np.where(inside, value, 0.0)
        j = np.clip(np.searchsorted(angles, gamma, side="right") - 1, 0, len(angles) - 2)
        v = (gamma - angles[j]) / (angles[j + 1] - angles[j])
        low = (1 - v) * table[i, j] + v * table[i, j + 1]
        high = (1 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
        return np.where(inside, (1 - u) * low + u * high, 0.0)

    @property
    def usual_orientation(self) -> str:
        """Where the street side of a file of its form usually is: C = 90 in EULUMDAT, C = 0 in LM-63."""
        return "street-c90" if self.form == "EULUMDAT" else "street-c0"

    def towards_street(self, orientation: str, street_c_deg: float = 90.0) -> Luminaire:
        """The same luminaire in coordinates whose C = `street_c_deg` faces the street (90 as in CIE files).

        orientation : a key of ORIENTATIONS, which side of the file faces the street
        """
        return self.rolled(street_c_deg - ORIENTATIONS[orientation])

    def rolled(self, degrees: float) -> Luminaire:
        """The same light with `degrees` added to every C; rolled(90) makes C = 0 of an LM-63 file C = 90 of CIE's."""
        turn = degrees % 360.0
        if turn == 0 or self.c_deg.size == 1:
            return self
        c = (self.c_deg + turn) % 360.0
        order = np.argsort(c, kind="stable")
        planes, table = c[order], self.candela[order]
        if planes[0] > 0:  # tables begin at C = 0; a plane between two others changes no value
            first = self.intensity(np.full(self.gamma_deg.size, -turn), self.gamma_deg)
            planes, table = np.append(0.0, planes), np.vstack([first, table])
        swapped = {"c0-c180": "c90-c270", "c90-c270": "c0-c180"} if turn % 180 else {}
        symmetry = swapped.get(self.symmetry, self.symmetry) if turn % 90 == 0 else "none"
        return replace(self, c_deg=planes, candela=table, symmetry=symmetry)
