"""What lamps do as their controllers tell: dimming by their curve, and power where nobody says whether they work."""

from dataclasses import replace

import numpy as np
import pytest

from analytics.lamp_state import DRIVER_SHARE, lamp_state
from analytics.photometry import DIMMING_CURVES, light_output
from analytics.surroundings import Surroundings, surroundings
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from tests.synthetic_city import make_city

NIGHT = np.datetime64("2026-11-20T20:00", "ms")  # 22:00 local, full light by the schedule


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Surroundings:
    """Lamp controllers of the first lamps say their power instead of `lamp_ok`; each lamp has 40 W."""
    around = surroundings(make_city(tmp_path_factory.mktemp("town")))
    quantity = around.sites.quantity.copy()
    quantity[around.sites.of("lamp_ok")[:3]] = QUANTITIES["power"].code
    watts = np.full(around.lamps.lamp.size, 40.0)
    return replace(around, sites=replace(around.sites, quantity=quantity), lamps=replace(around.lamps, watts=watts))


def told(town: Surroundings, quantity: str, values: list[float], minutes: float = 5.0) -> Records:
    rows = town.sites.of(quantity)[: len(values)]
    records = empty_records(len(rows))
    records["time"] = NIGHT + np.timedelta64(int(minutes * 60_000), "ms")
    records["received"] = records["time"]
    records["site"] = town.sites.site[rows]
    records["quantity"] = QUANTITIES[quantity].code
    records["value"] = values
    return records


def state(town: Surroundings, *parts: Records, sky: float = 0.1):
    return lamp_state(
        town, sort_by_key(np.concatenate([*parts, empty_records(0)])), NIGHT + np.timedelta64(15, "m"), sky
    )


def lamp_of(town: Surroundings, quantity: str, place: int = 0) -> int:
    return int(town.sites.lamp_index[town.sites.lamp_start[town.sites.of(quantity)[place]]])


def watts_at(level: float) -> float:
    return 40.0 * (DRIVER_SHARE + (1 - DRIVER_SHARE) * level)


def dimmed_lamp(town: Surroundings) -> tuple[int, int]:
    """A lamp that has both a dimming and a power site: its place among each."""
    power = [lamp_of(town, "power", place) for place in range(3)]
    dimming = [lamp_of(town, "dimming", place) for place in range(town.sites.of("dimming").size)]
    return dimming.index(power[0]), power[0]


@pytest.mark.parametrize(
    ("level", "share"), [(254, 1.0), (229, 0.505), (170, 0.101), (127, 0.031), (85, 0.0099), (1, 0.001), (0, 0.0)]
)
def test_dali_levels_give_the_light_of_the_standard_s_curve(level, share):
    """IEC 62386-102 by its formula; sensing.md A2 has the values."""
    curve = np.array([DIMMING_CURVES.index("dali-log")], np.uint8)
    assert light_output(np.array([level / 254]), curve)[0] == pytest.approx(share, rel=0.01, abs=1e-9)


def test_a_linear_lamp_gives_what_it_says_and_both_curves_meet_at_the_ends():
    says = np.array([0.0, 0.3, 1.0])
    assert light_output(says, np.zeros(3, np.uint8)).tolist() == says.tolist()
    assert light_output(says, np.ones(3, np.uint8))[[0, 2]].tolist() == [0.0, 1.0]


def test_reported_dimming_goes_through_the_lamp_s_own_curve(town):
    lamp = lamp_of(town, "dimming")
    curve = town.lamps.curve.copy()
    curve[lamp] = DIMMING_CURVES.index("dali-log")
    logarithmic = replace(town, lamps=replace(town.lamps, curve=curve))
    assert state(town, told(town, "dimming", [0.9])).level[lamp] == pytest.approx(0.9)
    assert state(logarithmic, told(town, "dimming", [229 / 254])).level[lamp] == pytest.approx(0.505, rel=0.01)


def test_a_lamp_that_says_only_its_power_is_at_the_level_of_it(town):
    lamp = lamp_of(town, "power")
    for level in (0.0, 0.5, 1.0):
        found = state(town, told(town, "power", [watts_at(level)]))
        assert found.level[lamp] == pytest.approx(level, abs=1e-6)
        assert found.sd[lamp] < 0.2
        assert np.sum(found.sd < 0.34) == 1


@pytest.mark.parametrize(
    ("share", "level"), [(0.05, 0.0), (0.5, (0.5 - DRIVER_SHARE) / (1 - DRIVER_SHARE)), (0.9, 1.0)]
)
def test_power_far_below_what_is_expected_is_a_dead_or_a_partly_dark_lamp(town, share, level):
    place, lamp = dimmed_lamp(town)
    says = told(town, "dimming", [1.0] * (place + 1))
    found = state(town, says, told(town, "power", [watts_at(1.0) * share], 6.0))
    assert found.level[lamp] == pytest.approx(level)


def test_power_as_expected_leaves_the_reported_level(town):
    place, lamp = dimmed_lamp(town)
    says = told(town, "dimming", [0.6] * (place + 1))
    found = state(town, says, told(town, "power", [watts_at(0.6) * 1.1], 6.0))
    assert found.level[lamp] == pytest.approx(0.6)
    assert found.sd[lamp] == pytest.approx(state(town, says).sd[lamp])


def test_power_from_before_a_new_level_says_nothing_of_it(town):
    place, lamp = dimmed_lamp(town)
    says = told(town, "dimming", [1.0] * (place + 1), 8.0)
    assert state(town, told(town, "power", [watts_at(0.3)], 2.0), says).level[lamp] == 1.0


def test_a_lamp_s_own_word_on_working_goes_before_its_power(town):
    quantity = town.sites.quantity.copy()
    place, lamp = dimmed_lamp(town)
    other = town.sites.of("power")[1]
    quantity[other] = QUANTITIES["lamp_ok"].code
    start = town.sites.lamp_start
    index = town.sites.lamp_index.copy()
    index[start[other]] = lamp
    both = replace(town, sites=replace(town.sites, quantity=quantity, lamp_index=index))
    rows = both.sites.of("lamp_ok")
    word = told(both, "lamp_ok", [1.0] * rows.size)
    says = told(both, "dimming", [1.0] * (place + 1))
    assert state(both, says, word, told(both, "power", [1.0], 6.0)).level[lamp] == 1.0


def test_power_of_a_lamp_of_unknown_rating_is_not_judged(town):
    lamp = lamp_of(town, "power")
    watts = town.lamps.watts.copy()
    watts[lamp] = np.nan
    unrated = replace(town, lamps=replace(town.lamps, watts=watts))
    assert state(unrated, told(town, "power", [0.5])).level[lamp] == 1.0


def test_a_lamp_that_draws_power_by_day_burns(town):
    lamp = lamp_of(town, "power")
    by_day = state(town, told(town, "power", [watts_at(1.0)]), sky=5000.0)
    assert by_day.level[lamp] == pytest.approx(1.0)
    assert np.sum(by_day.level) == pytest.approx(1.0)


def test_a_simulated_power_that_steers_light_is_marked(town):
    lamp = lamp_of(town, "power")
    assert state(town, told(town, "power", [5.0])).simulated[lamp]
