"""A 1 dB histogram from the wire to the archive and back."""

import json

import numpy as np
import pytest

from ingest.archive import append_records, night_records
from ingest.decoding import outcomes
from ingest.gaps import conflicts
from ingest.intake import Intake
from ingest.log import Message
from ingest.screening import Screen
from sensors.columns import read_columns
from sensors.dialects import decode
from sensors.histogram import encode_histogram
from sensors.night import Night
from sensors.quantities import QUANTITIES, quantity_named
from sensors.reading import unique_by_key
from sensors.register import add_site
from sensors.wire import Measurement, Rejection
from tests.synthetic_city import make_city

TOPIC = "noctule/town/noise-01/sound-histogram"
END_MS = 1_795_208_400_000


def read(payload: bytes, topic: str = TOPIC) -> list[Measurement | Rejection]:
    return decode(topic, payload, END_MS, "noctule", ())


def changed(**members: object) -> bytes:
    record = {"u": "s", "t": END_MS / 1000, "duration_s": 900, "boot": 1, "seq": 2, "from_db": 47, "bins": [3, 0, 41]}
    return json.dumps([{k: v for k, v in (record | members).items() if v is not None}]).encode()


@pytest.mark.parametrize("cbor", [False, True])
def test_each_decibel_that_lasted_is_a_reading(cbor):
    found = read(encode_histogram([3, 0, 41], 47, END_MS, 900.0, 1, 2, cbor=cbor))
    assert [(one.quantity, one.part, one.value, one.unit, one.seq, one.duration_s) for one in found] == [
        ("sound_histogram", 47, 3.0, "s", 2, 900.0),
        ("sound_histogram", 49, 41.0, "s", 2, 900.0),
    ]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"bins": None}, "needs 'bins'"),
        ({"bins": []}, "needs 'bins'"),
        ({"bins": [1, -1]}, "whole numbers of seconds"),
        ({"bins": [1.5]}, "whole numbers of seconds"),
        ({"bins": [True]}, "whole numbers of seconds"),
        ({"from_db": 19}, "bins from 19"),
        ({"from_db": 118}, "bins from 118 to 121"),
        ({"from_db": "47"}, "whole number of decibels"),
        ({"bins": [500, 500]}, "1000 seconds in the bins of an interval of 900 s"),
        ({"duration_s": None}, "interval of 0 s"),
        ({"seq": None}, "needs 'seq'"),
        ({"u": "dB"}, "expected 's'"),
        ({"n": "sound_laeq"}, "under the topic of 'sound_histogram'"),
        ({"bins": [0, 0]}, "no second"),
    ],
)
def test_what_is_wrong_with_a_histogram_is_said(members, reason):
    found = read(changed(**members))
    assert len(found) == 1
    assert isinstance(found[0], Rejection)
    assert reason in found[0].reason


def test_a_message_holds_one_histogram():
    two = json.loads(changed()) * 2
    assert "one histogram" in read(json.dumps(two).encode())[0].reason


def test_a_single_number_is_no_histogram():
    """Neither as a usual pack nor as columns, which would leave nothing to tell its bins apart."""
    assert quantity_named("sound-histogram") is None
    pack = json.dumps([{"v": 31, "u": "s", "t": END_MS / 1000, "duration_s": 900, "boot": 1, "seq": 2}]).encode()
    assert all(isinstance(one, Rejection) for one in read(pack))
    columns = json.dumps({"n": "sound_histogram", "t": [END_MS / 1000], "v": [41], "seq": 3}).encode()
    assert read_columns(columns) is None
    assert all(isinstance(one, Rejection) for one in read(columns))
    topic = "noctule/town/noise-01/sound-laeq"
    assert all(isinstance(one, Rejection) for one in read(changed(n="sound_histogram"), topic))


def test_decode_says_which_decibel():
    found = outcomes(TOPIC, changed(), END_MS)
    assert [(one["from_db"], one["value"], one["unit"], one["flags"]) for one in found] == [
        (47, 3.0, "s", []),
        (49, 41.0, "s", []),
    ]


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    opened = make_city(tmp_path_factory.mktemp("town"))
    grid = opened.settings.grid
    add_site(
        opened, device="noise-01", quantity="sound_histogram", easting=grid.west + 100, northing=grid.south + 100,
        height_m=4.0, mounting="free", origin="simulated", since=np.datetime64("2020-01-01", "ms"),
    )  # fmt: skip
    return opened


def test_a_histogram_comes_back_from_the_archive_as_it_was_sent(city):
    intake = Intake(city)
    topic = TOPIC.replace("/town/", f"/{city.id}/")
    bins = np.random.default_rng(1).multinomial(880, np.ones(30) / 30).tolist()
    messages = [
        Message(topic, encode_histogram(bins, 40, END_MS + k * 900_000, 900.0, 1, k), END_MS + k * 900_000 + 500)
        for k in range(3)
    ]
    routes = intake.routes([topic.encode()] * 3, END_MS)
    taken = intake.read(routes, [one.payload for one in messages], np.array([one.received_ms for one in messages]))
    assert not taken.refused
    records = taken.records
    records["flags"] = Screen().flags(records)
    assert not records["flags"].any()
    assert len(unique_by_key(np.concatenate([records, records]))) == len(records)  # redelivered
    append_records(city, records, "test")
    night = Night.named("2026-11-20", city.zone)
    kept = night_records(city, night, quantities=[QUANTITIES["sound_histogram"].code])
    merged = np.bincount(kept["part"], kept["value"], 120)[40:70]
    assert np.array_equal(merged, 3 * np.array(bins))
    assert conflicts(kept, city.places("sites")).empty  # bins of one interval do not contradict each other
