from dataclasses import replace
from itertools import product

import geopandas
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString

from analytics.required_class import SITUATIONS, USES, Situation, p_class, required_at, use_of
from sensors.city import ClassWeights, LightingSettings
from sensors.errors import LightingError

LIGHTING = LightingSettings()
QUIET, NORMAL, BUSY = 5.0, 100.0, 900.0


def sections(required, source="assumed", **columns):
    n = len(required)
    lines = [LineString([(0, place), (50, place)]) for place in range(n)]
    given_columns = {"required_class": required, "class_source": [source] * n, **columns}
    return geopandas.GeoDataFrame(given_columns, geometry=lines, crs="EPSG:3067")


def required(table, kinds, people, *, minute=23 * 60, sd=0.01, peak=BUSY, lighting=LIGHTING):
    n = len(table)
    full = (np.full(n, float(value)) for value in (people, sd, peak))
    return required_at(table, np.array(kinds, object), minute, *full, lighting)


def test_the_worked_table_of_weights():
    # speed low 1, everybody 2, parked 1, light around moderate 0, normal use 0: 6 - 4
    everything = Situation("low", "all", True, "moderate")
    assert [p_class(everything, use, ClassWeights()) for use in USES] == ["P3", "P2", "P1"]
    nothing = Situation("walking", "pedestrians", False, "moderate")
    assert [p_class(nothing, use, ClassWeights()) for use in USES] == ["P6", "P6", "P5"]


@given(st.sampled_from(sorted(SITUATIONS)), st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_a_class_stays_within_one_and_six_and_never_falls_with_use(name, steps):
    weights = msgspec.structs.replace(
        ClassWeights(), **dict(zip(("use_quiet", "use_normal", "use_busy"), sorted(steps), strict=True))
    )
    numbers = [int(p_class(SITUATIONS[name], use, weights)[1:]) for use in USES]
    assert numbers == sorted(numbers, reverse=True)
    assert all(1 <= number <= 6 for number in numbers)


def test_every_parameter_has_a_weight():
    for speed, composition, parked, ambient in product(
        ("low", "walking"),
        ("all", "pedestrians_motor", "pedestrians_cyclists", "pedestrians", "cyclists"),
        (True, False),
        ("high", "moderate", "low"),
    ):
        assert p_class(Situation(speed, composition, parked, ambient), "normal", ClassWeights()).startswith("P")


def test_an_assumed_class_follows_the_people():
    table = sections(["P4", "P5", "P2"])
    kinds = ["residential", "footway", "pedestrian"]
    found = {people: required(table, kinds, people).required.tolist() for people in (QUIET, NORMAL, BUSY)}
    assert found == {QUIET: ["P4", "P6", "P4"], NORMAL: ["P3", "P6", "P3"], BUSY: ["P2", "P5", "P2"]}


def test_motor_and_conflict_classes_do_not_follow_the_people():
    table = sections(["M3", "C2", ""])
    for people in (QUIET, BUSY):
        assert required(table, ["primary", "secondary", "corridor"], people).required.tolist() == ["M3", "C2", ""]


def test_a_stated_class_stays_unless_the_city_says_that_it_adapts():
    table = sections(["P3", "M4"], "council")
    assert required(table, ["residential", "primary"], QUIET).required.tolist() == ["P3", "M4"]
    adaptive = msgspec.structs.replace(LIGHTING, adaptive=True)
    at = {
        people: required(table, ["residential"] * 2, people, lighting=adaptive).required.tolist()
        for people in (QUIET, NORMAL, BUSY)
    }
    assert at == {QUIET: ["P5", "M4"], NORMAL: ["P4", "M4"], BUSY: ["P3", "M4"]}
    # A street that is quiet at its busiest was given its class as such.
    assert required(table, ["residential"] * 2, QUIET, peak=QUIET, lighting=adaptive).required[0] == "P3"


@pytest.mark.parametrize(
    "clock, name",
    [("17:59", "P4"), ("18:00", "P2"), ("22:59", "P2"), ("23:00", "P5"), ("04:00", "P5"), ("05:00", "P4")],
)
def test_a_class_stated_by_hour_goes_before_everything(clock, name):
    table = sections(["P3"], "council", required_by_hour=["18:00 P2; 23:00 P5; 05:00 P4"])
    minute = int(clock[:2]) * 60 + int(clock[3:])
    found = required(table, ["residential"], BUSY, minute=minute)
    assert (found.required[0], found.required_how[0]) == (name, "stated by hour")


def test_the_least_and_the_most_are_those_of_the_ends_of_footfall():
    table = sections(["P4", "M3"])
    unsure = required(table, ["residential", "primary"], 190.0, sd=0.8)  # 51 to 708 persons an hour
    columns = ["required_least", "required", "required_most"]
    assert unsure[columns].to_numpy().tolist() == [["P3", "P3", "P2"], ["M3"] * 3]  # of M footfall does not matter
    sure = required(table, ["residential", "primary"], 5.0, sd=0.3)
    assert sure[columns].to_numpy().tolist() == [["P4"] * 3, ["M3"] * 3]


def test_thresholds_belong_to_the_busier_side():
    assert [use_of(people, LIGHTING) for people in (39.9, 40.0, 199.9, 200.0)] == ["quiet", "normal", "normal", "busy"]
    assert use_of(float("nan"), LIGHTING) == "normal"


def test_unknown_classes_and_schedules_are_refused_together():
    table = sections(["P9", "S3", "P9"], required_by_hour=["23:00 P4", "late P4", ""])
    with pytest.raises(LightingError) as caught:
        required(table, ["residential"] * 3, QUIET)
    said = str(caught.value)
    assert "'P9' of 2 sections" in said
    assert "'S3'" in said
    assert "'late P4'" in said


def test_situations_are_values():
    assert replace(SITUATIONS["footpath"], ambient="high") != SITUATIONS["footpath"]
