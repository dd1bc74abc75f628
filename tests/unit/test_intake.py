"""Whatever a message is, it becomes records of known sites or a reason that says what is wrong."""

from __future__ import annotations

import re

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Intake, as_records, kept_payload
from ingest.log import Message
from sensors.errors import CityError
from sensors.quantities import QUANTITIES
from sensors.register import add_site, move_site
from sensors.wire import Sample, encode_pack
from tests.synthetic_city import SOUTH, WEST, make_city

NOW_MS = 1_795_212_000_000


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("town"), simulated=False)


@pytest.fixture(scope="module")
def counter(town):
    table = town.places("sites")
    return table[table["quantity"] == "people_flow"].iloc[0]


@pytest.fixture(scope="module")
def intake(town):
    return Intake(town)


@pytest.fixture
def topic(counter):
    return f"noctule/smalltown/{counter.device}/people-flow"


def flow(value: float = 12.0, time_ms: int = NOW_MS) -> bytes:
    return encode_pack([Sample("people_flow", time_ms, value, 900.0)], boot=2, seq=7)


def test_a_good_message_becomes_records_of_the_registers_site(town, counter, topic):
    taken = Intake(town).take(Message(topic, flow(), NOW_MS + 1500))
    assert taken.reasons == []
    (record,) = as_records(taken.rows)
    assert record["site"] == counter.site
    assert record["quantity"] == QUANTITIES["people_flow"].code
    assert record["time"] == np.datetime64(NOW_MS, "ms")
    assert record["received"] == np.datetime64(NOW_MS + 1500, "ms")
    assert [float(record[name]) for name in ("value", "duration_s", "flags")] == [12.0, 900.0, 0.0]
    assert [int(record[name]) for name in ("boot", "seq", "part")] == [2, 7, 0]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "neither|empty|JSON"),
        (b"{broken", "JSON"),
        (b"\xff\xfe\x00", "JSON|CBOR"),
        (b'{"value": 3}', "no number"),
        (b'[{"v":"12"}]', "number"),
        (b'[{"u":"lx","v":12}]', "expected 'count'"),
        (b'[{"n":"power","v":12}]', "under the topic of"),
        (cbor2.dumps([{0: "people_flow", 2: float("nan")}]), "finite"),
        (cbor2.dumps([{0: "people_flow", 2: float("inf")}]), "finite"),
        (b'[{"v":1e999}]', "finite|JSON"),
        (b"[" * 5000 + b"]" * 5000, "."),
        (b"7" * 300_000, "300000 bytes; at most 262144"),
    ],
)
def test_a_bad_payload_is_refused_with_a_reason_that_names_the_fault(town, topic, payload, reason):
    taken = Intake(town).take(Message(topic, payload, NOW_MS))
    assert taken.rows == []
    assert taken.reasons
    assert re.search(reason, "; ".join(taken.reasons))


def test_the_good_records_of_a_pack_are_kept_beside_the_bad_ones(town, topic):
    pack = b'[{"v":5,"boot":1,"seq":1},{"v":"x"},{"u":"lx","v":1},{"v":6}]'
    taken = Intake(town).take(Message(topic, pack, NOW_MS))
    assert [row[4] for row in taken.rows] == [5, 6]
    assert [row[9] for row in taken.rows] == [0, 3]
    assert len(taken.reasons) == 2


def test_an_unknown_device_is_refused_by_name(town):
    taken = Intake(town).take(Message("noctule/smalltown/ghost/people-flow", flow(), NOW_MS))
    assert taken.rows == []
    assert "'ghost' is not in the site register" in taken.reasons[0]


def test_a_device_without_a_site_for_the_quantity_is_refused(town, counter):
    pack = encode_pack([Sample("illuminance", NOW_MS, 3.0)], boot=1, seq=1)
    taken = Intake(town).take(Message(f"noctule/smalltown/{counter.device}/illuminance", pack, NOW_MS))
    assert "has no site for illuminance" in taken.reasons[0]


@pytest.mark.parametrize("time_ms", [0, 1000, NOW_MS + 86_400_000])
def test_a_time_in_1970_or_tomorrow_is_kept_at_the_devices_present_site(town, counter, topic, time_ms):
    taken = Intake(town).take(Message(topic, flow(time_ms=time_ms), NOW_MS))
    assert [row[2] for row in taken.rows] == [counter.site]


def test_a_simulated_device_is_refused_where_the_city_is_not_declared_simulated(town, tmp_path):
    simulated = make_city(tmp_path)
    table = simulated.places("sites")
    device = table[table["quantity"] == "people_flow"].iloc[0].device
    message = Message(f"noctule/smalltown/{device}/people-flow", flow(), NOW_MS)
    assert Intake(simulated).take(message).reasons == []
    settings_file = tmp_path / "city.toml"
    settings_file.write_text(settings_file.read_text().replace("simulated = true", "simulated = false"))
    taken = Intake(type(simulated).open(tmp_path)).take(message)
    assert taken.rows == []
    assert "registered as simulated, and Smalltown is not declared simulated" in taken.reasons[0]


def test_a_city_without_a_register_is_refused_in_a_sentence(tmp_path):
    town = make_city(tmp_path)
    (tmp_path / "places" / "sites.parquet").unlink()
    with pytest.raises(CityError, match="sites"):
        Intake(town)


def test_a_changed_register_is_noticed_and_a_moved_sensor_keeps_its_history(tmp_path):
    town = make_city(tmp_path, simulated=False)
    intake = Intake(town)
    assert not intake.refresh()
    site = add_site(town, device="new", quantity="power", easting=WEST + 50, northing=SOUTH + 50)
    pack = encode_pack([Sample("power", NOW_MS, 3.0)], boot=1, seq=1)
    message = Message("noctule/smalltown/new/power", pack, NOW_MS)
    assert intake.take(message).rows == []
    assert intake.refresh()
    assert [row[2] for row in intake.take(message).rows] == [site]
    moved = np.datetime64(NOW_MS + 1000, "ms")
    later = move_site(town, site, easting=WEST + 90, northing=SOUTH + 90, since=moved)
    intake.refresh()
    assert [row[2] for row in intake.take(message).rows] == [site]
    after = encode_pack([Sample("power", NOW_MS + 2000, 3.0)], boot=1, seq=2)
    assert [row[2] for row in intake.take(message._replace(payload=after)).rows] == [later]


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["people-flow", "x", "status", "..", ""]))
def test_no_message_ends_without_an_outcome(intake, counter, payload, leaf):
    taken = intake.take(Message(f"noctule/smalltown/{counter.device}/{leaf}", payload, NOW_MS))
    assert taken.rows or taken.reasons


def test_of_a_payload_too_large_to_read_only_the_beginning_is_kept():
    assert kept_payload(b"a" * 262_144) == b"a" * 262_144
    assert kept_payload(b"a" * 262_145) == b"a" * 4096
