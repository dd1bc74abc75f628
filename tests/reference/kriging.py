"""The exact Gaussian process in float64, from the textbook (Rasmussen & Williams 2006, eq. 2.23-2.24, 4.14)."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, kv

Floats = NDArray[np.float64]


def matern(distance_m: Floats, nu: float, range_m: float) -> Floats:
    """Unit-variance Matérn correlation by its Bessel function, for any smoothness."""
    r = math.sqrt(2 * nu) * np.asarray(distance_m, float) / range_m
    safe = np.where(r > 0, r, 1.0)
    return np.where(r > 0, 2 ** (1 - nu) / gamma(nu) * safe**nu * kv(nu, safe), 1.0)


def exact_gp(
    sensors: Floats, value: Floats, noise_variance: Floats, points: Floats, nu: float, range_m: float, variance: float
) -> tuple[Floats, Floats]:
    """Posterior mean and variance at points (n, 2) from all sensors (m, 2), metres."""
    between = np.hypot(*(sensors[:, None, :] - sensors[None, :, :]).transpose(2, 0, 1))
    towards = np.hypot(*(points[:, None, :] - sensors[None, :, :]).transpose(2, 0, 1))
    k = variance * matern(between, nu, range_m) + np.diag(np.broadcast_to(noise_variance, value.shape))
    c = variance * matern(towards, nu, range_m)
    weights = np.linalg.solve(k, c.T).T
    return weights @ value, variance - np.sum(weights * c, axis=1)


def cubic_upsample(nodes: Floats, factor: int, shape: tuple[int, int]) -> Floats:
    """Cells from nodes `factor` cells apart with two nodes of margin, by the cubic through four nodes on each axis."""

    def matrix(cells: int, n_nodes: int) -> Floats:
        out = np.zeros((cells, n_nodes))
        for cell in range(cells):
            place = (cell + 0.5) / factor - 0.5 + 2  # in nodes
            first = math.floor(place) - 1
            for i in range(first, first + 4):
                out[cell, i] = math.prod((place - j) / (i - j) for j in range(first, first + 4) if j != i)
        return out

    return matrix(shape[0], nodes.shape[0]) @ nodes @ matrix(shape[1], nodes.shape[1]).T
