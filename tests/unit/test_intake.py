"""Whatever a message is, it becomes records of known sites or a reason that says what is wrong."""

from __future__ import annotations

import re

import cbor2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Intake, Reading, as_records, keepable, kept_payload
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


# ------------------------------------------------------------------------------------------------------ by column

records_said = st.fixed_dictionaries(
    {},
    optional={
        "v": st.one_of(st.integers(0, 90), st.floats(0, 90), st.just("7")),
        "t": st.sampled_from([0, -60, 1_795_211_990.5, 1_700_000_000, 1000, 1_795_300_000, 1e300]),
        "n": st.sampled_from(["people_flow", "people-flow", "power"]),
        "u": st.sampled_from(["count", "lx"]),
        "duration_s": st.sampled_from([900, 0.5, -1]),
        "boot": st.integers(0, 3),
        "seq": st.one_of(st.integers(0, 9), st.just(-1)),
        "bt": st.just(1_795_000_000),
        "mac": st.just("00:11:22:33:44:55"),
    },
)
columns_said = st.fixed_dictionaries(
    {
        "t": st.lists(st.sampled_from([0, 900, 1_795_211_990.5, 1_700_000_000]), min_size=1, max_size=3),
        "v": st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=1, max_size=3),
    },
    optional={
        "n": st.sampled_from(["people_flow", "people-flow", "power"]),
        "id": st.sampled_from(["counter-1", "ghost"]),
        "seq": st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3)),
        "bt": st.just(1_795_208_400),
        "duration_s": st.just(900),
    },
)
payloads_said = st.one_of(
    st.lists(records_said, max_size=3).map(msgspec.json.encode),
    columns_said.map(msgspec.json.encode),
    columns_said.map(cbor2.dumps),
    st.binary(max_size=20),
)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A town of which one counter moved a while ago and another will soon, one device is simulated."""
    town = make_city(tmp_path_factory.mktemp("moving"), simulated=False)
    minute = np.timedelta64(1, "m")
    now = np.datetime64(NOW_MS, "ms")
    for device, moved in (("counter-1", now - 300 * minute), ("counter-2", now + minute)):
        site = add_site(town, device=device, quantity="people_flow", easting=WEST + 50, northing=SOUTH + 50)
        move_site(town, site, easting=WEST + 90, northing=SOUTH + 90, since=moved)
    return Intake(town)


def by_column(intake: Intake, messages: list[Message]) -> Reading:
    routes = intake.routes([message.topic.encode() for message in messages], NOW_MS)
    received = np.array([message.received_ms for message in messages], np.int64)
    return intake.read(routes, [message.payload for message in messages], received)


@pytest.mark.parametrize("fewest", [1, 1_000])  # messages that are read as one table of characters, or none
@settings(deadline=None)
@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from(["counter-1/people-flow", "counter-2/people-flow", "counter-1/power", "ghost/people-flow"]),
            payloads_said,
            st.integers(0, 120_000),
        ),
        max_size=8,
    )
)
def test_a_group_read_by_column_is_what_its_messages_are_one_by_one(moving, sent, fewest):
    messages = [Message(f"noctule/smalltown/{leaf}", payload, NOW_MS + late) for leaf, payload, late in sent]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.intake.FEWEST", fewest)
        patch.setattr("sensors.alike.FEWEST", fewest)
        reading = by_column(moving, messages)
    alone = [moving.take(message) for message in messages]
    rows = [row for taken in alone for row in taken.rows]
    np.testing.assert_array_equal(reading.records, as_records(rows))
    assert reading.messages.tolist() == [at for at, taken in enumerate(alone) for _ in taken.rows]
    assert {at: taken.reasons for at, taken in reading.refused.items()} == {
        at: taken.reasons for at, taken in enumerate(alone) if taken.reasons
    }


def test_a_reading_from_before_a_move_stays_where_it_was_taken_however_it_is_read(moving):
    sites = {
        taken_at: by_column(moving, [Message("noctule/smalltown/counter-1/people-flow", flow(time_ms=when), NOW_MS)])
        for taken_at, when in (("before", NOW_MS - 400 * 60_000), ("after", NOW_MS))
    }
    assert sites["before"].records["site"] != sites["after"].records["site"]


def test_a_fault_in_reading_by_column_costs_nobody_a_reading(town, topic, monkeypatch):
    intake = Intake(town)
    monkeypatch.setattr(intake, "_of_packs", lambda *_: 1 / 0)
    reading = by_column(intake, [Message(topic, flow(value), NOW_MS) for value in (1.0, 2.0)])
    assert reading.records["value"].tolist() == [1.0, 2.0]


def test_topics_that_a_device_makes_up_do_not_fill_the_memory(town, monkeypatch):
    monkeypatch.setattr("ingest.intake.ROUTES_KEPT", 50)
    intake = Intake(town)
    for number in range(200):
        intake.routes([f"noctule/smalltown/ghost/{number}".encode()], NOW_MS)
        assert len(intake._routes) <= 50


def test_a_topic_that_is_no_text_is_one_that_no_dialect_knows(town):
    reading = by_column(Intake(town), [])
    assert len(reading.records) == 0
    intake = Intake(town)
    (route,) = intake.routes([b"\xff" * 65_000], NOW_MS)
    assert len(route.text.encode()) < 0xFFFF
    assert list(intake.read([route], [b"[]"], np.array([NOW_MS])).refused) == [0]


# ------------------------------------------------------------------------------------------------------ exposure


@pytest.mark.parametrize("payload", [b'[{"v":1,"mac":"00:11:22:33:44:55"}]', b'{"plates":["ABC-123"]}'])
def test_of_a_message_that_identifies_people_only_the_reason_and_its_size_are_kept(town, topic, payload):
    taken = Intake(town).take(Message(topic, payload, NOW_MS))
    assert taken.rows == []
    assert taken.kept == b""
    assert f"{len(payload)} bytes, not kept" in taken.reasons[0]
    assert b"00:11" not in taken.reasons[0].encode()
    assert "ABC" not in taken.reasons[0]


def test_of_a_payload_too_large_to_read_nothing_is_kept_that_identifies_people():
    assert kept_payload(b'{"macs":["00:11:22:33:44:55",' + b" " * 300_000) == b""
    assert keepable("t", b'{"imei":"490154203237518"}') == b""


def test_counts_of_radio_devices_are_refused_until_their_legal_basis_is_named(tmp_path):
    town = make_city(tmp_path, simulated=False)
    add_site(town, device="pax", quantity="devices_seen", easting=WEST + 50, northing=SOUTH + 50)
    message = Message(
        "noctule/smalltown/pax/devices-seen", encode_pack([Sample("devices_seen", NOW_MS, 31.0, 60.0)], 1, 1), NOW_MS
    )
    for taken in (Intake(town).take(message), by_column(Intake(town), [message]).refused[0]):
        assert taken.rows == []
        assert taken.kept == b""
        assert "privacy.devices_seen_basis" in taken.reasons[0]
    settings_file = tmp_path / "city.toml"
    without, basis = 'devices_seen_basis = ""', 'devices_seen_basis = "council decision 12/2026"'
    settings_file.write_text(settings_file.read_text().replace(without, basis))
    allowed = Intake(type(town).open(tmp_path))
    assert allowed.take(message).reasons == []
    assert len(by_column(allowed, [message]).records) == 1
