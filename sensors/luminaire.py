"""A luminaire's light: luminous intensity over the sphere, as its photometric file declares it.

C is the azimuth about the downward vertical, gamma the angle from it, degrees (CIE 121; EN 13032-1 C-gamma system).
In EULUMDAT and CIE files C = 90 faces the street, in LM-63 road files C = 0 does: I_cie(C) = I_iesna(C - 90). A file
cannot say which it is, so whoever uses a luminaire chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


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
