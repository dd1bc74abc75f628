"""A smooth Gaussian field over a rectangle as a few waves with independent weights: the Hilbert-space basis.

On [-L, L] the Laplacian has the eigenfunctions sin(pi j (x + L) / (2 L)) / sqrt(L) with frequencies pi j / (2 L). A
stationary field is close to sum of w_jk phi_j(x) phi_k(y) with w_jk ~ N(0, S(omega_jk)), S its spectral density
(Solin & Särkkä 2020, Statistics and Computing 30, 419-446). For Matérn 5/2 in the plane

    S(omega) = sigma^2 4 pi nu (2 nu)^nu / ell^(2 nu) (2 nu / ell^2 + omega^2)^-(nu + 1),   nu = 5/2

(Rasmussen & Williams 2006, eq. 4.15). The usual one-dimensional rule for L and the number of waves leaves errors of 0.2
to 0.4 of the variance near the edges of a plane; half the side plus twice the longest length-scale, and 2.65 L / ell
waves an axis, leave 0.02 (tests/unit/test_hilbert_basis.py).

L is the same for every length-scale, so the waves of a long one are the first among those of a short one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensors.errors import ModelError

Floats = npt.NDArray[np.float64]

MOST_AN_AXIS = 45  # waves; beyond these the fit of a city takes minutes, and it must be cut into parts
_WAVES_PER_LENGTH = 2.65
_NU = 2.5


@dataclass(frozen=True)
class HilbertBasis:
    """Waves over a rectangle and its margin.

    easting, northing : middle of the rectangle, metres; reach_e, reach_n : L of each axis, metres
    wave_e, wave_n : (m,) i8, j and k of each wave, ascending in frequency
    """

    easting: float
    northing: float
    reach_e: float
    reach_n: float
    wave_e: npt.NDArray[np.int64]
    wave_n: npt.NDArray[np.int64]

    def at(self, easting: Floats, northing: Floats) -> Floats:
        """The waves at some places, (n, m)."""
        east = _waves(np.asarray(easting, np.float64) - self.easting, self.reach_e, int(self.wave_e.max(initial=0)))
        north = _waves(np.asarray(northing, np.float64) - self.northing, self.reach_n, int(self.wave_n.max(initial=0)))
        product: Floats = east[:, self.wave_e - 1] * north[:, self.wave_n - 1]
        return product

    def variances(self, sd: float, length_m: float) -> Floats:
        """Prior variance of each wave's weight, (m,), 0 for waves that this length-scale does not need.

        sd, length_m : of the field; the length ell of Matérn 5/2
        """
        density = sd**2 * 4 * np.pi * _NU * (2 * _NU) ** _NU / length_m ** (2 * _NU)
        density = density * (2 * _NU / length_m**2 + self._frequency2()) ** -(_NU + 1)
        needed = (self.wave_e <= _count(self.reach_e, length_m)) & (self.wave_n <= _count(self.reach_n, length_m))
        return np.where(needed, density, 0.0)

    def first(self, number: int) -> HilbertBasis:
        """The `number` slowest waves of these."""
        return HilbertBasis(
            self.easting, self.northing, self.reach_e, self.reach_n, self.wave_e[:number], self.wave_n[:number]
        )

    def _frequency2(self) -> Floats:
        return (np.pi * self.wave_e / (2 * self.reach_e)) ** 2 + (np.pi * self.wave_n / (2 * self.reach_n)) ** 2


def basis_over(
    west: float, east: float, south: float, north: float, shortest_m: float, longest_m: float
) -> HilbertBasis:
    """Waves that carry Matérn 5/2 fields of these length-scales over a rectangle; ModelError where it is too large.

    west, east, south, north : edges in metres; shortest_m, longest_m : length-scales ell
    """
    reach_e, reach_n = 0.5 * (east - west) + 2 * longest_m, 0.5 * (north - south) + 2 * longest_m
    count_e, count_n = _count(reach_e, shortest_m), _count(reach_n, shortest_m)
    if max(count_e, count_n) > MOST_AN_AXIS:
        most = 2 * (MOST_AN_AXIS * shortest_m / _WAVES_PER_LENGTH - 2 * longest_m)
        raise ModelError(
            f"answers lie {east - west:.0f} by {north - south:.0f} m apart; one fit reaches over {most:.0f} m with "
            f"places that differ over {shortest_m:g} m: fit parts of the city as cities of their own"
        )
    wave_e, wave_n = (a.ravel() for a in np.meshgrid(np.arange(1, count_e + 1), np.arange(1, count_n + 1)))
    frequency2 = (wave_e / reach_e) ** 2 + (wave_n / reach_n) ** 2
    order = np.lexsort((wave_n, wave_e, np.round(frequency2, 18)))
    return HilbertBasis(0.5 * (west + east), 0.5 * (south + north), reach_e, reach_n, wave_e[order], wave_n[order])


def _count(reach_m: float, length_m: float) -> int:
    return int(np.ceil(_WAVES_PER_LENGTH * reach_m / length_m))


def _waves(away: Floats, reach: float, count: int) -> Floats:
    number = np.arange(1, count + 1)
    wave: Floats = np.sin(np.pi * number[None, :] * (away[:, None] + reach) / (2 * reach)) / np.sqrt(reach)
    return wave
