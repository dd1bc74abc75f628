"""Unlike other weeks and unlike the neighbours: told of one site, not of a city that celebrates."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.usual_nights import hours, unusual
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records

START = np.datetime64("2026-11-20T10:00", "ms")
HELSINKI = (24.94, 60.17)
SITES = np.arange(1, 8)
POINTS = np.column_stack([np.arange(7) * 100.0, np.zeros(7)])


def night(
    quantity: str, week: int, seed: int = 0, factor: dict[int, float] | None = None, every: float = 1.0
) -> Records:
    """Seven sites from 16:00 to 04:00 UTC, every quarter of an hour; `factor` multiplies (or in dB adds to) a site."""
    generator = np.random.default_rng(seed + week)
    records = empty_records(7 * 48)
    records["site"] = np.repeat(SITES, 48)
    records["quantity"] = QUANTITIES[quantity].code
    records["duration_s"] = 900
    records["time"] = np.tile(
        START - np.timedelta64(7 * week, "D") + np.timedelta64(6, "h") + np.arange(1, 49) * np.timedelta64(15, "m"), 7
    )
    sound = quantity == "sound_laeq"
    base = (50.0 if sound else 40.0) + 3 * records["site"]
    noise = generator.normal(0, 1, len(records))
    by_site = np.array([(factor or {}).get(int(site), 0.0 if sound else 1.0) for site in records["site"]])
    values = base + noise + by_site if sound else base * np.exp(noise * 0.1) * by_site * every
    records["value"] = values
    return records


def strange(quantity, tonight, weeks=8):
    earlier = [
        hours(night(quantity, week), START - np.timedelta64(7 * week, "D"), HELSINKI) for week in range(1, weeks + 1)
    ]
    found = unusual(hours(tonight, START, HELSINKI), earlier, SITES, POINTS)
    return tuple(sorted(set(tonight["site"][flags].tolist())) for flags in found)


@pytest.mark.parametrize("quantity", ["sound_laeq", "people_flow", "illuminance"])
def test_an_ordinary_night_is_not_unusual(quantity):
    assert strange(quantity, night(quantity, 0, 99)) == ([], [])


@pytest.mark.parametrize(("quantity", "factor"), [("sound_laeq", 25.0), ("people_flow", 20.0), ("illuminance", 0.05)])
def test_one_site_that_is_otherwise_is_unlike_its_weeks_and_its_neighbours(quantity, factor):
    assert strange(quantity, night(quantity, 0, 99, {3: factor})) == ([3], [3])


def test_a_city_that_celebrates_is_unlike_its_weeks_but_not_unlike_itself():
    climatology, neighbour = strange("people_flow", night("people_flow", 0, 99, every=20.0))
    assert climatology == SITES.tolist() and neighbour == []


def test_three_weeks_are_too_few_to_call_anything_unusual():
    assert strange("people_flow", night("people_flow", 0, 99, {3: 50.0}), weeks=3) == ([], [])


def test_a_few_people_are_chance():
    few = night("people_flow", 0, 99, every=0.02)
    earlier = []
    for week in range(1, 9):
        records = night("people_flow", week, every=0.02)
        earlier.append(hours(records, START - np.timedelta64(7 * week, "D"), HELSINKI))
    few["value"][few["site"] == 2] = 4.9 / 4
    found = unusual(hours(few, START, HELSINKI), earlier, SITES, POINTS)
    assert not found.climatology.any() and not found.neighbour.any()


def test_light_by_day_is_nobodys_habit():
    records = night("illuminance", 0)
    assert (hours(records, START, HELSINKI).of >= 0).mean() > 0.9
    records["time"] += np.timedelta64(10, "h")
    assert (hours(records, START, HELSINKI).of >= 0).mean() < 0.5


def test_nobody_near_says_nothing_about_neighbours():
    tonight = night("sound_laeq", 0, 99, {3: 25.0})
    earlier = [
        hours(night("sound_laeq", week), START - np.timedelta64(7 * week, "D"), HELSINKI) for week in range(1, 9)
    ]
    found = unusual(hours(tonight, START, HELSINKI), earlier, SITES[:3], POINTS[:3])
    assert found.climatology.any() and not found.neighbour.any()
