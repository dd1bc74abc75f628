"""The joint fit at one node says what PyMC and nutpie sample: as frozen, and sampled anew where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.peers.designs import SIZES, Said
from tests.peers.frozen import MISSING, as_said, both, frozen, installed, sampled


def agree(ours: Said, theirs: Said) -> None:
    away, wider = np.abs(ours.mean - theirs.mean) / theirs.sd, ours.sd / theirs.sd
    assert away.max() <= 0.03  # the gate is 0.1; the mode alone is 0.107 away
    assert 0.95 <= wider.min() <= wider.max() <= 1.06
    assert np.abs(ours.p_safe - theirs.p_safe).max() <= 0.005  # the gate is 0.01
    assert np.abs(ours.exceeds - theirs.exceeds).max() <= 0.02


@pytest.mark.parametrize("n", SIZES)
def test_the_posterior_is_what_pymc_and_nutpie_said(n):
    theirs = frozen(n)
    assert theirs["how"]["divergences"] == 0 and theirs["how"]["largest_rhat"] < 1.01
    assert theirs["how"]["least_effective_draws"] > 5000  # so their means are known to 0.014 sd
    agree(both(n)[1], as_said(theirs))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not installed(), reason=MISSING)
@pytest.mark.parametrize("n", SIZES)
def test_the_posterior_is_what_pymc_and_nutpie_sample(n):
    theirs = as_said(sampled(n))
    agree(both(n)[1], theirs)
    kept = as_said(frozen(n))
    assert np.abs(theirs.mean - kept.mean).max() < 0.05 * kept.sd.max()  # what was frozen is no other posterior
