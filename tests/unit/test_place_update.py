"""More answers at once move a fit where a refit with them would have it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from analytics import place_fit as module
from analytics.place_fit import Answers, fit_with_places, place_moments
from analytics.place_update import with_answers
from tests.worlds import CUTS, priors, world


def rows(answers: Answers, which: slice) -> Answers:
    parts = {field.name: getattr(answers, field.name) for field in fields(answers)}
    return Answers(**{name: None if part is None else part[which] for name, part in parts.items()})


def test_five_hundred_answers_one_by_one_are_a_refit(monkeypatch):
    """With one length-scale and size, which a step leaves as they are."""
    monkeypatch.setattr(module, "LENGTHS_M", (300.0,))
    monkeypatch.setattr(module, "SDS", (0.35,))
    made = world(1200, width=1500.0, height=1500.0, terms=6)
    prior = priors(6)
    before = fit_with_places(rows(made.answers, slice(700)), made.region, *prior, CUTS)
    refit = fit_with_places(made.answers, made.region, *prior, CUTS)
    online = with_answers(before, rows(made.answers, slice(700, None)))
    line = np.linspace(75, 1425, 12)
    east, north = (axis.ravel() for axis in np.meshgrid(line, line))
    old, new, wanted = (place_moments(fit, east, north) for fit in (before, online, refit))
    sd = np.sqrt(wanted.variance_u)
    assert np.sqrt(np.mean(((new.mean_u - wanted.mean_u) / sd) ** 2)) < 0.02
    assert np.sqrt(np.mean(((old.mean_u - wanted.mean_u) / sd) ** 2)) > 0.2
    away = (online.mean[:9] - refit.mean[:9]) / np.sqrt(np.diag(refit.covariance))[:9]
    assert np.abs(away).max() < 0.05
    assert np.sqrt(new.variance_u) / sd == pytest.approx(1, abs=0.02)


def test_the_order_of_answers_matters_no_more_than_newtons_second_step():
    made = world(400, terms=3)
    fit = fit_with_places(rows(made.answers, slice(300)), made.region, *priors(3), CUTS)
    forth = with_answers(fit, rows(made.answers, slice(300, None)))
    back = with_answers(fit, rows(made.answers, slice(None, 299, -1)))
    sd = np.sqrt(np.diag(forth.covariance))
    assert np.abs((forth.mean - back.mean) / np.maximum(sd, 1e-12)).max() < 0.05


def test_a_fit_is_left_as_it_is_and_stays_symmetric():
    made = world(300)
    fit = fit_with_places(made.answers, made.region, *priors(4), CUTS)
    mean, covariance = fit.mean.copy(), fit.covariance.copy()
    online = with_answers(fit, rows(made.answers, slice(5)))
    assert np.array_equal(fit.mean, mean) and np.array_equal(fit.covariance, covariance)
    assert np.abs(online.covariance - online.covariance.T).max() < 1e-9
    assert np.trace(online.covariance) < np.trace(covariance)


def test_an_answer_without_weight_moves_nothing():
    made = world(300)
    fit = fit_with_places(made.answers, made.region, *priors(4), CUTS)
    weightless = with_answers(fit, replace(rows(made.answers, slice(3)), weight=np.zeros(3)))
    assert weightless.mean == pytest.approx(fit.mean, abs=1e-12)
    assert weightless.covariance == pytest.approx(fit.covariance, abs=1e-12)


def test_every_answer_makes_every_place_surer():
    made = world(300)
    fit = fit_with_places(made.answers, made.region, *priors(4), CUTS)
    line = np.linspace(50, 950, 8)
    said = [place_moments(one, line, line).variance_u for one in (fit, with_answers(fit, rows(made.answers, slice(3))))]
    assert (said[1] < said[0]).all()
