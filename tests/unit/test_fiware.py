"""Laws of the FIWARE dialect, on the models' own examples and on what cities do with them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.city import DialectRule
from sensors.dialects import decode
from sensors.wire import Measurement, Rejection

EXAMPLES = Path(__file__).with_name("examples")
NOW = 1_790_000_000_000
TOPIC = "city/ngsi/lamp-7/attrs"


def example(name):
    return json.loads((EXAMPLES / f"ngsi-{name}.json").read_text("utf-8"))


def read(content, topic=TOPIC, **rule):
    rules = [DialectRule(topic=topic, dialect="ngsi", **rule)] if rule else []
    return decode(topic, json.dumps(content).encode(), NOW, rules=rules)


def values(content, **rule):
    return {one.quantity: one.value for one in read(content, **rule) if isinstance(one, Measurement)}


def reasons(content, **rule):
    return [one.reason for one in read(content, **rule) if isinstance(one, Rejection)]


def noise(**changes):
    return example("noiselevelobserved-keyvalues") | changes


def crowd(**changes):
    return example("crowdflowobserved-keyvalues") | changes


def lamp(**changes):
    given = {"id": "lamp:1", "type": "Streetlight", "observationDateTime": "2026-11-20T22:00:00Z"} | changes
    return {name: value for name, value in given.items() if value is not None}


STREETLIGHTS = [
    "streetlight-normalized",
    "streetlight-keyvalues",
    "streetlight-ld-normalized",
    "streetlight-ld-keyvalues",
]


@pytest.mark.parametrize("name", STREETLIGHTS)
def test_every_representation_of_a_streetlight_says_the_same(name):
    outcome = read(example(name))
    assert {(one.quantity, one.value) for one in outcome if isinstance(one, Measurement)} == {
        ("lamp_ok", 1.0),
        ("dimming", 0.0),
    }
    assert {one.time_ms for one in outcome if isinstance(one, Measurement)} == {1_610_360_462_000}  # 10:21:02 UTC
    assert {one.device for one in outcome if isinstance(one, Measurement)} == {"lamp-7"}
    assert [one.reason for one in outcome if isinstance(one, Rejection)] == [
        "powerConsumption states no unit and the schema has none; send it with unitCode 'WTT'"
    ]


@pytest.mark.parametrize("name", ["streetlightgroup-normalized", "streetlightgroup-keyvalues"])
def test_a_group_is_on_since_it_was_switched_on(name):
    (one,) = read(example(name))
    assert (one.quantity, one.value, one.time_ms) == ("dimming", 1.0, 1_467_921_546_618)


@pytest.mark.parametrize(
    "name", [f"noiselevelobserved-{form}" for form in ("normalized", "keyvalues", "ld-normalized", "ld-keyvalues")]
)
def test_every_representation_of_a_noise_level_says_the_same(name):
    outcome = read(example(name))
    assert {(one.quantity, one.value, one.unit, one.duration_s, one.time_ms) for one in outcome} == {
        ("sound_laeq", 67.8, "dB", 3600.0, 1_482_926_400_000),
        ("sound_lamax", 94.5, "dB", 3600.0, 1_482_926_400_000),
    }


def test_noise_pollution_is_of_the_two_hours_before_its_end():
    outcome = read(example("noisepollution-normalized"))
    assert {(one.quantity, one.value, one.duration_s) for one in outcome} == {
        ("sound_laeq", 85.0, 7200.0),
        ("sound_lamax", 75.0, 7200.0),
    }


@pytest.mark.parametrize("name", ["normalized", "keyvalues", "ld-normalized"])
def test_from_and_to_are_preferred_to_a_date_without_zone(name):
    outcome = read(example(f"crowdflowobserved-{name}"))
    assert {(one.time_ms, one.duration_s) for one in outcome} == {(1_533_640_500_000, 300.0)}
    assert outcome[0].quantity == "people_flow"
    assert outcome[0].value == 100.0


def test_towards_and_away_are_in_and_out():
    assert values(crowd()) == {"people_flow": 100.0, "people_in": 50.0, "people_out": 50.0}


def test_boats_are_not_people():
    assert reasons(example("itemflowobserved-keyvalues")) == ["itemType 'yacht' is not people"]
    assert values(example("itemflowobserved-keyvalues") | {"itemType": "people"}) == {"people_flow": 12.0}


def test_an_illuminance_level_is_a_setting_and_not_lux():
    assert values(lamp(illuminanceLevel=0.7)) == {"dimming": 0.7}
    normalized = {"type": "Number", "value": 70, "metadata": {"unitCode": {"type": "Text", "value": "P1"}}}
    assert values(lamp(illuminanceLevel=normalized)) == pytest.approx({"dimming": 0.7})
    (reason,) = reasons(lamp(illuminanceLevel={"value": 12, "unitCode": "LUX"}))
    assert "LUX" in reason


def test_a_lamp_that_is_off_gives_no_light_whatever_its_setting():
    assert values(lamp(illuminanceLevel=0.7, powerState="off")) == {"dimming": 0.0, "dimming_command": 0.7}
    assert values(lamp(illuminanceLevel=0.7, powerState="on")) == {"dimming": 0.7}


@pytest.mark.parametrize("state", ["low", "bootingUp"])
def test_a_state_that_names_no_level_is_none(state):
    assert "names no level" in reasons(lamp(powerState=state))[0]
    assert values(lamp(powerState=state, illuminanceLevel=0.3)) == {"dimming": 0.3}


@pytest.mark.parametrize(("status", "works"), [("ok", 1.0), ("defectiveLamp", 0.0), ("brokenLantern", 0.0)])
def test_a_status_says_whether_the_lamp_works(status, works):
    assert values(lamp(status=status)) == {"lamp_ok": works}


@pytest.mark.parametrize("status", ["columnIssue", "fine", 1, None])
def test_a_status_that_is_not_of_the_lamp_is_refused(status):
    assert (
        values({"id": "x", "type": "Streetlight", "observationDateTime": "2026-11-20T22:00:00Z", "status": status})
        == {}
    )


def test_power_is_taken_where_the_message_states_its_unit():
    assert values(lamp(powerConsumption={"value": 36.5, "unitCode": "WTT"})) == {"power": 36.5}
    assert values(lamp(powerConsumption={"value": 0.0365, "unitCode": "KWT"})) == pytest.approx({"power": 36.5})
    assert "WTT" in reasons(lamp(powerConsumption=36.5))[0]
    assert values(lamp(voltage={"value": 231, "unitCode": "VLT"})) == {"supply_voltage": 231.0}


def test_what_is_refused_leaves_the_rest():
    outcome = read(noise(LAmax="94.5"))
    assert [type(one).__name__ for one in outcome] == ["Measurement", "Rejection"]
    assert outcome[1].reason == "LAmax: '94.5' is not a number"


def test_texts_of_the_schema_do_not_disturb():
    assert values(noise(heightAverage="3.5", distanceAverage="12", sonometerClass="1")) == {
        "sound_laeq": 67.8,
        "sound_lamax": 94.5,
    }


def test_a_time_without_zone_is_refused_with_a_sentence():
    for reason in reasons(noise(dateObservedFrom="2016-12-28T11:00:00", dateObservedTo="2016-12-28T12:00:00")):
        assert "no zone" in reason
    assert "no zone" in reasons(crowd(dateObservedFrom=None, dateObservedTo=None))[0]


def test_a_message_without_time_is_not_dated_by_its_receipt():
    assert "says no time" in reasons(lamp(status="ok", observationDateTime=None))[0]


@pytest.mark.parametrize(
    "own",
    [
        {"observedAt": "2026-11-20T23:00:00Z"},
        {"metadata": {"TimeInstant": {"type": "DateTime", "value": "2026-11-21T00:00:00+01:00"}}},
        {"metadata": {"timestamp": {"type": "DateTime", "value": "2026-11-20T23:00:00.000Z"}}},
    ],
)
def test_the_time_of_an_attribute_wins(own):
    (one,) = read(lamp(status={"type": "Property", "value": "ok"} | own))
    assert one.time_ms == 1_795_215_600_000


def test_a_count_needs_its_interval():
    given = crowd(dateObserved="2018-08-07T11:10:00Z", dateObservedFrom=None, dateObservedTo=None)
    given = {name: value for name, value in given.items() if value is not None}
    assert all("interval" in reason for reason in reasons(given))
    assert values(given | {"dateObserved": "2018-08-07T11:10:00Z/2018-08-07T11:15:00Z"})["people_flow"] == 100.0


def test_occupancy_is_never_people():
    given = {name: value for name, value in crowd(occupancy=0.4).items() if not name.startswith("people")}
    assert values(given) == {}


def test_an_interval_that_ends_before_it_begins_is_refused():
    assert "before it begins" in reasons(noise(dateObservedTo="2016-12-28T10:00:00Z"))[0]
    assert "seven days" in reasons(noise(dateObservedTo="2017-12-28T10:00:00Z"))[0]


def test_a_fixed_device_is_believed_and_not_the_entity():
    assert {one.device for one in read(noise(id="urn:somebody:else"), device="mic-1")} == {"mic-1"}


def test_a_gateway_speaks_for_the_entities_that_the_city_names():
    entities = [crowd(id="urn:a"), crowd(id="urn:b"), crowd(id="urn:c", refDevice="Device:9")]
    outcome = read(entities, devices={"urn:a": "gate-a", "Device:9": "gate-c"})
    assert {one.device for one in outcome if isinstance(one, Measurement)} == {"gate-a", "gate-c"}
    (reason,) = [one.reason for one in outcome if isinstance(one, Rejection)]
    assert "'urn:b'" in reason
    assert "[[dialects]]" in reason


def test_two_lamps_are_not_one_device():
    assert "2 lights" in reasons([lamp(status="ok"), lamp(id="lamp:2", status="ok")])[0]


def test_two_entities_that_claim_the_same_interval_of_a_device_are_not_added_up():
    outcome = read([crowd(id="a", peopleCount=1), crowd(id="b", peopleCount=2)])
    assert [one.value for one in outcome if isinstance(one, Measurement) and one.quantity == "people_flow"] == [1.0]


def test_observations_of_one_device_may_come_together():
    later = noise(id="b", dateObservedFrom="2016-12-28T12:00:00Z", dateObservedTo="2016-12-28T13:00:00Z")
    assert len(read([noise(id="a"), later])) == 4


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda entity: {
            "id": "urn:n:1",
            "type": "Notification",
            "notifiedAt": "2026-11-20T22:00:00Z",
            "data": [entity],
        },
        lambda entity: {"subscriptionId": "57458eb60962ef754e7c0998", "data": [entity]},
        lambda entity: {"actionType": "append", "entities": [entity]},
        lambda entity: {"type": "Feature", "id": entity["id"], "properties": entity},
        lambda entity: [entity],
    ],
)
def test_an_entity_is_the_same_in_every_envelope(wrapped):
    assert read(wrapped(noise())) == read(noise())


def test_a_value_that_is_there_several_times_is_none():
    several = [{"value": 60, "datasetId": "urn:a"}, {"value": 70, "datasetId": "urn:b"}]
    assert "several values" in reasons(noise(LAeq=several))[0]
    assert values(noise(LAeq=[*several, {"value": 65}]))["sound_laeq"] == 65.0


def test_expanded_names_are_read():
    given = noise(type="https://smartdatamodels.org/dataModel.Environment/NoiseLevelObserved")
    assert values(given) == values(noise())


def test_a_level_in_another_unit_is_refused():
    assert "°C" in reasons(noise(LAeq={"value": 20, "unitCode": "°C"}))[0]
    assert values(noise(LAeq={"value": 60, "unitCode": "2N"}))["sound_laeq"] == 60.0


def test_an_entity_of_another_model_says_which_are_read():
    (reason,) = reasons({"id": "urn:ngsi-ld:WeatherObserved:1", "type": "WeatherObserved", "temperature": 3})
    assert "WeatherObserved" in reason
    assert "CrowdFlowObserved" in reason


anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = ["id", "type", "LAeq", "LAmax", "status", "powerState", "illuminanceLevel", "powerConsumption", "peopleCount"]
NAMES += ["intensity", "itemType", "dateObserved", "dateObservedFrom", "dateObservedTo", "observationDateTime"]
NAMES += ["refDevice", "dateLastSwitchingOn"]


@given(
    st.sampled_from(["Streetlight", "NoiseLevelObserved", "NoisePollution", "CrowdFlowObserved", "ItemFlowObserved"]),
    st.dictionaries(
        st.sampled_from(NAMES), anything | st.fixed_dictionaries({"value": anything, "unitCode": anything})
    ),
)
def test_no_entity_crashes_the_reader(kind, content):
    assert read(content | {"type": kind})
