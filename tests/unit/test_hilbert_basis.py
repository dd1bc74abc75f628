"""The waves of the Hilbert-space basis carry a Matérn field to its edges, and refuse what they cannot carry."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from analytics.hilbert_basis import MOST_AN_AXIS, basis_over
from sensors.errors import ModelError


def matern52(a: np.ndarray, b: np.ndarray, length_m: float) -> np.ndarray:
    r = np.sqrt(5) * cdist(a, b) / length_m
    return (1 + r + r**2 / 3) * np.exp(-r)


def places(width: float, height: float) -> np.ndarray:
    """A lattice over the rectangle with its edges and corners."""
    east, north = np.meshgrid(np.linspace(0, width, 13), np.linspace(0, height, 13))
    return np.column_stack([east.ravel() + 385_000, north.ravel() + 6_672_000])


@pytest.mark.parametrize("length_m", [250.0, 353.6, 500.0])
@pytest.mark.parametrize("size", [(2000.0, 2000.0), (1700.0, 1050.0)])
def test_the_covariance_is_that_of_the_dense_field_everywhere(length_m, size):
    at = places(*size)
    basis = basis_over(385_000, 385_000 + size[0], 6_672_000, 6_672_000 + size[1], 250.0, 500.0)
    waves = basis.at(at[:, 0], at[:, 1])
    covariance = (waves * basis.variances(1.0, length_m)) @ waves.T
    assert np.abs(covariance - matern52(at, at, length_m)).max() <= 0.02


def test_the_variance_goes_with_the_square_of_the_sd():
    basis = basis_over(0, 1000, 0, 1000, 250.0, 500.0)
    assert basis.variances(0.6, 300.0) == pytest.approx(4 * basis.variances(0.3, 300.0))


def test_a_longer_length_scale_needs_the_slower_ones_of_the_same_waves():
    basis = basis_over(0, 2000, 0, 2000, 250.0, 500.0)
    short, long = basis.variances(1.0, 250.0) > 0, basis.variances(1.0, 500.0) > 0
    assert short.all()
    assert 0 < long.sum() < short.sum()


def test_two_kilometres_at_250_m_take_the_documented_number_of_waves():
    assert len(basis_over(0, 2000, 0, 2000, 250.0, 250.0).wave_e) == 16**2
    assert len(basis_over(0, 5000, 0, 5000, 250.0, 250.0).wave_e) == 32**2


def test_the_first_waves_are_the_slowest():
    basis = basis_over(0, 2000, 0, 1000, 250.0, 500.0)
    few = basis.first(20)
    assert len(few.wave_e) == 20
    assert few.variances(1.0, 300.0).min() >= basis.variances(1.0, 300.0)[20:].max()


def test_a_city_that_is_too_large_for_one_fit_is_refused_with_what_would_do():
    with pytest.raises(ModelError, match="fit parts of the city"):
        basis_over(0, 20_000, 0, 3000, 250.0, 500.0)
    largest = 2 * (MOST_AN_AXIS * 250.0 / 2.65 - 1000.0) - 1
    assert basis_over(0, largest, 0, 1000, 250.0, 500.0).wave_e.max() == MOST_AN_AXIS


def test_every_place_of_the_rectangle_is_two_of_the_longest_lengths_from_the_edge_of_the_waves():
    """So no cell that may be shown lies within a length-scale of it (perception.md 3)."""
    at = places(2000.0, 1200.0)
    basis = basis_over(385_000, 387_000, 6_672_000, 6_673_200, 250.0, 500.0)
    assert (basis.reach_e - np.abs(at[:, 0] - basis.easting)).min() >= 2 * 500.0 - 1e-6
    assert (basis.reach_n - np.abs(at[:, 1] - basis.northing)).min() >= 2 * 500.0 - 1e-6
