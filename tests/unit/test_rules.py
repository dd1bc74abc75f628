"""Laws of dialect rules: a name that nobody knows is refused with those that are."""

import pytest

from sensors.city import City, CitySettings, DialectRule, write_settings
from sensors.dialects.rules import is_filter, rule_problems
from sensors.errors import CityError
from tests.synthetic_city import make_city


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (DialectRule(topic="x/#", dialect="esperanto"), "expected one of columns, senml, "),
        (DialectRule(topic="x/#", decoder="morse"), "decoder 'morse'"),
        (DialectRule(topic="x/#", quantity="warmth"), "expected one of illuminance"),
        (DialectRule(topic="x/#", datastreams={"5": "mic-1/warmth"}), "datastreams.5"),
        (DialectRule(topic="x/#", datastreams={"5": "sound_laeq"}), "DEVICE/QUANTITY"),
        (DialectRule(topic="x/#", device="Lamp 7"), "device 'Lamp 7'"),
        (DialectRule(topic="x/#", devices={"a": "Lamp 7"}), "devices.a"),
        (DialectRule(topic="x/#/y"), "no MQTT filter"),
        (DialectRule(topic=""), "no MQTT filter"),
        (DialectRule(topic="x/+", device="a", device_level=2), "keep one"),
        (DialectRule(topic="x/+", device_level=-1), "counted from 1"),
    ],
)
def test_what_is_wrong_is_said(rule, said):
    (problem,) = rule_problems(rule)
    assert said in problem


def test_a_rule_that_is_right_has_no_problem():
    rule = DialectRule(
        topic="v1.1/#", dialect="sensorthings", quantity="sound-laeq", datastreams={"5": "mic-1/people-flow"}
    )
    assert rule_problems(rule) == []


def test_a_city_with_a_wrong_rule_is_refused_by_its_number(tmp_path):
    city = make_city(tmp_path)
    content = {name: getattr(city.settings, name) for name in CitySettings.__struct_fields__}
    rules = (DialectRule(topic="a/#"), DialectRule(topic="b/#", dialect="esperanto"))
    write_settings(tmp_path, CitySettings(**content | {"dialects": rules}))
    with pytest.raises(CityError, match=r"dialects\[2\] dialect 'esperanto' is not known"):
        City.open(tmp_path)


@pytest.mark.parametrize(("text", "right"), [("#", True), ("+", True), ("a/+/#", True), ("a+", False), ("a#", False)])
def test_wildcards_stand_alone(text, right):
    assert is_filter(text) is right
