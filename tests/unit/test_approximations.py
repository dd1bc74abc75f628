import numpy as np
import pytest

from analytics.kernels.approximations import exp32, exponential, log32
from analytics.kernels.jit import cell_kernel

pytestmark = pytest.mark.kernel


@cell_kernel()
def _each(first, last, which, x, out):
    for i in range(first, last):
        out[i] = exp32(x[i]) if which == 0 else log32(x[i]) if which == 1 else exponential(x[i])


def _apply(which, x):
    out = np.empty_like(x)
    _each(0, x.size, which, x, out)
    return out.astype(np.float64)


def test_exp32_is_within_a_millionth_and_the_rounding_of_its_argument():
    x = np.linspace(-80, 80, 4001).astype(np.float32)
    error = np.abs(_apply(0, x) / np.exp(x.astype(np.float64)) - 1)
    assert np.all(error < 1e-6 + 6e-8 * np.abs(x))


def test_log32_is_within_four_millionths_of_log():
    x = np.exp(np.linspace(-80, 80, 4001)).astype(np.float32)
    assert np.max(np.abs(_apply(1, x) - np.log(x.astype(np.float64)))) < 1e-5


def test_log32_undoes_exp32():
    x = np.linspace(-20, 20, 801).astype(np.float32)
    assert np.max(np.abs(_apply(1, _apply(0, x).astype(np.float32)) - x)) < 1e-5


def test_exponential_keeps_the_precision_of_its_argument():
    x = np.linspace(-30, 30, 101)
    assert np.max(np.abs(_apply(2, x) / np.exp(x) - 1)) < 1e-14
    assert _apply(2, x.astype(np.float32)).dtype == np.float64
