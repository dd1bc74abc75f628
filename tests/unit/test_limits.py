"""A reading alone: what can be, what is seldom, and what its clock says."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.limits import USUAL, SiteFacts
from ingest.screening import Screen
from sensors.flags import Flag
from sensors.quantities import QUANTITIES
from sensors.reading import Records
from tests.synthetic_city import make_city
from tests.unit.test_screening import readings


def delayed(**delay: int) -> Records:
    ((unit, number),) = delay.items()
    records = readings("power", [50.0])
    records["received"] = records["time"] + np.timedelta64(number, unit)
    return records


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (delayed(s=1), 0),
        (delayed(s=-120), 0),
        (delayed(ms=-120_001), Flag.CLOCK),
        (delayed(m=5), 0),
        (delayed(ms=300_001), Flag.DELAYED),
        (delayed(h=24), Flag.DELAYED),
        (delayed(ms=86_400_001), Flag.LATE),
        (delayed(D=366), Flag.LATE),
        (delayed(D=367), Flag.CLOCK),
        (delayed(D=-1), Flag.CLOCK),
    ],
)
def test_a_clock_may_be_two_minutes_ahead_and_a_year_behind(records, expected):
    assert Screen().flags(records).tolist() == [expected]


def test_1970_is_a_failed_clock():
    records = readings("power", [50.0])
    records["time"] = np.datetime64(0, "ms")
    assert Screen().flags(records).tolist() == [Flag.CLOCK]


@pytest.mark.parametrize("quantity", list(QUANTITIES.values()), ids=lambda quantity: quantity.name)
def test_range_is_the_quantitys_own_and_its_limits_are_inside(quantity):
    beyond = [np.nextafter(np.float32(quantity.low), np.float32(-np.inf)), np.float32(quantity.high) * 1.01 + 1]
    records = readings(quantity.name, [quantity.low, quantity.high, *beyond, float("nan")])
    assert (Screen().flags(records) & Flag.RANGE).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", list(USUAL))
def test_seldom_is_inside_of_possible_and_only_suspect(name):
    quantity, usual = QUANTITIES[name], USUAL[name]
    assert quantity.low <= usual.low < usual.high <= quantity.high
    records = readings(name, [usual.low, usual.high])
    assert not (Screen().flags(records) & Flag.EXTREME).any()
    for edge, limit in ((usual.low, quantity.low), (usual.high, quantity.high)):
        if edge != limit:
            flags = Screen().flags(readings(name, [(edge + limit) / 2]))
            assert flags.tolist() == [Flag.EXTREME]


@pytest.mark.parametrize(("persons", "expected"), [(300, 0), (500, Flag.EXTREME), (4001, Flag.RANGE)])
def test_no_more_people_pass_than_fit(persons, expected):
    records = readings("people_flow", [persons])
    records["duration_s"] = 60
    assert Screen().flags(records).tolist() == [expected]
    records["duration_s"] = 0  # nobody said how long
    assert Screen().flags(records).tolist() == [0]


def test_facts_of_a_city_sum_the_lamps_of_a_site(tmp_path):
    city = make_city(tmp_path / "town")
    assert len(SiteFacts.of(city).sites) == 0  # no site of power there
    sites = city.places("sites")
    sites.loc[sites.index[:2], "quantity"] = "power"
    sites.loc[sites.index[0], "lamps"] = "lamp-000;lamp-001"
    sites.loc[sites.index[1], "lamps"] = "nobody-knows"
    sites.to_parquet(city.path / "places" / "sites.parquet")
    watts = city.places("lamps").set_index("lamp").watts
    rated = SiteFacts.of(city).rated(np.array([0, 1, 99]))
    assert rated[0] == pytest.approx(float(watts["lamp-000"] + watts["lamp-001"]))
    assert np.isinf(rated[1:]).all()
