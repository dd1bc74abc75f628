"""How strongly two places resemble each other, by the metres between them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Matern:
    """Matérn covariance; `range_m` is the length ell in sqrt(2 nu) d / ell (Rasmussen & Williams 2006, eq. 4.14).

    nu : smoothness 1/2, 3/2 or 5/2
    range_m : ell, metres, > 0
    variance : variance of the field, > 0

    >>> round(float(Matern(nu=0.5, range_m=100.0, variance=2.0)(100.0)), 4)
    0.7358
    """

    nu: float
    range_m: float
    variance: float

    def __post_init__(self) -> None:
        if self.nu not in (0.5, 1.5, 2.5):
            raise ValueError(f"nu is {self.nu}; expected 1/2, 3/2 or 5/2 (covariance.Matern)")
        if not (np.isfinite(self.range_m) and self.range_m > 0):
            raise ValueError(f"range_m is {self.range_m}; expected metres above 0 (covariance.Matern)")
        if not (np.isfinite(self.variance) and self.variance > 0):
            raise ValueError(f"variance is {self.variance}; expected a number above 0 (covariance.Matern)")

    @property
    def two_nu(self) -> int:
        """The smoothness as kernels take it: 1, 3 or 5."""
        return round(2 * self.nu)

    @property
    def scale(self) -> float:
        """sqrt(2 nu) / ell, in 1/m."""
        return float(np.sqrt(self.two_nu) / self.range_m)

    def __call__(self, distance_m: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Covariance of two places `distance_m` metres apart."""
        r = self.scale * np.asarray(distance_m, np.float64)
        polynomial = {1: np.ones_like(r), 3: 1 + r, 5: 1 + r + r * r / 3}[self.two_nu]
        return np.asarray(self.variance * polynomial * np.exp(-r))

    def distance_at(self, correlation: float) -> float:
        """Metres at which the correlation has fallen to `correlation` (between 0 and 1), by bisection."""
        near, far = 0.0, 60.0  # of r = sqrt(2 nu) d / ell; beyond, the correlation is below 1e-22
        for _ in range(50):
            middle = 0.5 * (near + far)
            polynomial = {1: 1.0, 3: 1.0 + middle, 5: 1.0 + middle + middle * middle / 3}[self.two_nu]
            near, far = (middle, far) if polynomial * math.exp(-middle) > correlation else (near, middle)
        return 0.5 * (near + far) / self.scale
