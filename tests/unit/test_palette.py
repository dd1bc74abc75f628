"""Colours: ordered, told apart by everyone, suppressed where we are unsure, and never red."""

import numpy as np
import pytest

from dashboard import palette
from dashboard.palette import DIFFERENCES, GREYS, GROUNDS, RAMPS, TWINS, interpolate, lookup, rgb, tiers

# Machado, Oliveira and Fernandes 2009, severity 1.0.
DEUTAN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
PROTAN = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])


def lab(colours, vision=None):
    linear = np.where(colours / 255 <= 0.04045, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    linear = linear if vision is None else np.clip(linear @ vision.T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


ORDERED = [name for name in RAMPS if name not in DIFFERENCES]


@pytest.mark.parametrize("ground", ["dark", "contrast"])
@pytest.mark.parametrize("layer", ORDERED)
def test_lightness_rises_with_the_value(layer, ground):
    ramp = TWINS[ground][layer]
    lightness = lab(interpolate(ramp, 8 if ground == "dark" else len(ramp)))[:, 0]
    assert (np.diff(lightness) > 0).all()


@pytest.mark.parametrize("layer", ORDERED)
def test_on_light_ground_lightness_falls_with_the_value(layer):
    lightness = lab(interpolate(TWINS["light"][layer], 8))[:, 0]
    assert (np.diff(lightness) < 0).all()


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("layer", DIFFERENCES)
def test_the_largest_differences_stand_out_most_from_every_ground(layer, ground):
    lightness = lab(interpolate(TWINS[ground][layer], 5))[:, 0]
    away = np.abs(lightness - (96 if ground == "light" else 4))
    assert away.argmin() == 2
    assert away[0] == pytest.approx(away[4], abs=12)


@pytest.mark.parametrize("vision", [None, DEUTAN, PROTAN])
@pytest.mark.parametrize("ground", GROUNDS)
def test_neighbouring_colours_of_perceived_safety_can_be_told_apart(ground, vision):
    ramp = TWINS[ground]["safety"]
    steps = np.linalg.norm(np.diff(lab(interpolate(ramp, len(ramp)), vision), axis=0), axis=1)
    assert steps.min() >= (12 if ground == "contrast" else 5)


@pytest.mark.parametrize("layer", ORDERED)
def test_in_high_contrast_four_opaque_colours_all_stand_out_from_black(layer):
    sure = lookup(layer, "contrast")[15]
    assert len(np.unique(sure[:, :3], axis=0)) == 4
    if layer != "noise":
        assert (sure[:, 3] == 255).all()
    linear = np.where(
        sure[:, :3] / 255 <= 0.04045, sure[:, :3] / 255 / 12.92, ((sure[:, :3] / 255 + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    assert ((luminance + 0.05) / 0.05).min() >= 3.0


def test_the_less_sure_the_fewer_colours():
    assert [len(tier.colours) for tier in tiers("safety")] == [8, 4, 2, 1]
    for ground in ("dark", "light"):
        table = lookup("safety", ground)
        for step in range(16):
            assert len(np.unique(table[step, :, :3], axis=0)) == palette.TIER_BINS[step // 4]


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("layer", RAMPS)
def test_nothing_is_red(layer, ground):
    red, green, blue = lookup(layer, ground)[..., :3].astype(int).reshape(-1, 3).T
    assert not ((red > 1.6 * green) & (red > 1.6 * blue)).any()


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("layer", DIFFERENCES)
def test_a_difference_that_cannot_be_told_from_zero_is_grey(layer, ground):
    assert (lookup(layer, ground)[:8, :, :3] == rgb(GREYS[ground])).all()
    assert not (lookup(layer, ground)[15, 0, :3] == lookup(layer, ground)[15, 100, :3]).all()


def test_noise_fades_with_confidence():
    alpha = lookup("noise")[:, 50, 3].astype(int)
    assert (np.diff(alpha) > 0).all()
    assert alpha[0] < 60
