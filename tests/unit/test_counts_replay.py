"""Laws of replaying recorded counts."""

import json
from collections import deque
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest.counts_replay as counts_replay
from ingest.counts_replay import quarter_hours, recorded_messages, replay_counts
from ingest.history import import_history
from sensors.clock import city_clock, set_clock
from sensors.dialects import decode
from sensors.errors import RecipeError, StoreError
from sensors.night import Night
from sensors.wire import Measurement
from tests.synthetic_city import make_city


def row(value, duration_s=3600.0, device="counter-00", quantity="people_flow", time="2026-11-20T18:00"):
    frame = pd.DataFrame(
        {
            "device": [device],
            "quantity": [quantity],
            "time": [pd.Timestamp(time)],
            "duration_s": [duration_s],
            "value": [value],
        }
    )
    return next(frame.itertuples(index=False))


@settings(deadline=None)
@given(st.integers(0, 12_000), st.sampled_from([1800.0, 3600.0, 7200.0]), st.integers(0, 99))
def test_the_quarters_of_an_hour_add_up_to_its_count_exactly(count, duration_s, seed):
    messages = quarter_hours(row(float(count), duration_s), seed)
    assert sum(message.value for message in messages) == count
    assert len(messages) == duration_s / 900
    assert messages[-1].time_ms == pd.Timestamp("2026-11-20T18:00").value // 1_000_000
    assert all(later.time_ms - earlier.time_ms == 900_000 for earlier, later in pairwise(messages))


def test_the_split_depends_on_seed_device_and_hour_only():
    assert quarter_hours(row(500.0), 1) == quarter_hours(row(500.0), 1)
    assert quarter_hours(row(500.0), 1) != quarter_hours(row(500.0), 2)
    one, two = (quarter_hours(row(500.0, device=name), 1) for name in ("counter-00", "counter-01"))
    assert [message.value for message in one] != [message.value for message in two]


def test_quarters_are_spread_like_a_multinomial():
    draws = [message.value for seed in range(400) for message in quarter_hours(row(400.0), seed)]
    assert np.mean(draws) == pytest.approx(100.0)
    assert np.var(draws) == pytest.approx(400 * 0.25 * 0.75, rel=0.15)


@pytest.mark.parametrize(
    "whole", [row(55.5, 3600.0, quantity="sound_laeq"), row(10.5), row(7.0, 900.0), row(9.0, 1000.0)]
)
def test_what_is_no_count_of_whole_quarters_stays_one_message(whole):
    (message,) = quarter_hours(whole, 0)
    assert (message.value, message.duration_s) == (whole.value, whole.duration_s)


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


@pytest.fixture
def file(tmp_path):
    hours = pd.date_range("2026-11-20T00:00", "2026-11-22T23:00", freq="1h")
    rows = [f"{device},people_flow,{time:%Y-%m-%dT%H:%M:%S}Z,3600,{100 + time.hour}"
            for time in hours for device in ("counter-00", "counter-01", "counter-77")]  # fmt: skip
    path = tmp_path / "counts.csv"
    path.write_text("device,quantity,time,duration_s,value\n" + "\n".join(rows) + "\n", "utf-8")
    return path


class PretendPublisher:
    """Takes messages as a broker would that answers at once, or never."""

    sent: list[tuple[str, bytes, bool]]
    away = False

    def __init__(self, url, client_id, user=None, password=None, tls=None):
        type(self).sent = []
        self.acknowledged = deque()
        self.window, self.unacknowledged = 20, 0
        self.state, self.sentence = ("retrying", "no broker answers") if self.away else ("connected", "connected")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def publish(self, topic, payload, *, retain=False, token=None):
        if self.away:
            self.unacknowledged += 1
        else:
            self.acknowledged.append(token)
        self.sent.append((topic, payload, retain))

    def pause(self, seconds):
        pass

    def flush(self, timeout_s=None):
        return not self.away


@pytest.fixture
def publisher(monkeypatch):
    class Fresh(PretendPublisher):
        pass

    monkeypatch.setattr(counts_replay, "Publisher", Fresh)
    return Fresh


NIGHT = {"first": date(2026, 11, 20), "until": date(2026, 11, 21)}


def test_a_night_has_every_quarter_hour_once_and_other_counters_are_counted(city, file):
    messages, skipped = recorded_messages(city, file, "readings", **NIGHT, seed=1)
    assert len(messages) == 2 * 96
    start = int(Night(date(2026, 11, 20), city.zone).start.astype(np.int64))
    assert [message.time_ms for message in messages[::2]] == [start + 900_000 * step for step in range(96)]
    assert skipped["no site of counter-77 in the register"] > 0


def test_messages_speak_our_wire_in_order_and_the_clock_is_given_back(city, file, publisher):
    done = replay_counts(city, file, "readings", **NIGHT, speed=3.6e9)
    assert done.published == done.acknowledged == 2 * 96
    assert not done.stopped
    assert not city_clock(city.path).simulated
    status = [(topic, json.loads(payload)["state"]) for topic, payload, retain in publisher.sent if retain]
    assert [state for _, state in status] == ["online"] * 2 + ["offline"] * 2
    said = [
        measurement
        for topic, payload, retain in publisher.sent
        if not retain
        for measurement in decode(topic, payload, 0, "noctule")
    ]
    assert all(isinstance(measurement, Measurement) for measurement in said)
    assert [measurement.time_ms for measurement in said] == sorted(measurement.time_ms for measurement in said)
    assert len({(measurement.device, measurement.seq) for measurement in said}) == len(said)
    assert {measurement.duration_s for measurement in said} == {900.0}


def test_nights_that_were_imported_are_not_replayed_as_well(city, file, publisher):
    import_history(city, file, "readings", first=date(2026, 11, 21))
    assert replay_counts(city, file, "readings", **NIGHT, speed=3.6e9).published == 2 * 96
    with pytest.raises(StoreError, match="imported counts of the night 2026-11-21"):
        replay_counts(city, file, "readings", first=date(2026, 11, 20), until=date(2026, 11, 22), speed=3.6e9)


def test_a_replay_is_the_same_again_message_for_message(city, file, publisher):
    replay_counts(city, file, "readings", **NIGHT, speed=3.6e9)
    first = [(topic, payload) for topic, payload, retain in publisher.sent if not retain]
    replay_counts(city, file, "readings", **NIGHT, speed=3.6e9)
    assert [(topic, payload) for topic, payload, retain in publisher.sent if not retain] == first


def test_a_driven_clock_is_followed_and_never_taken_over(city, file, publisher):
    begin = Night(date(2026, 11, 20), city.zone).time_of("20:00")
    set_clock(city.path, begin, 3.6e9)
    with pytest.raises(StoreError, match="--no-clock"):
        replay_counts(city, file, "readings", **NIGHT)
    set_clock(city.path, begin, 1e5)
    done = replay_counts(city, file, "readings", **NIGHT, own_clock=False)
    assert done.published + done.late == 2 * 96
    assert done.late >= 2 * 31  # what ended before 19:45 is past
    assert city_clock(city.path).simulated
    set_clock(city.path, begin + np.timedelta64(9, "D"), 1.0)
    with pytest.raises(StoreError, match="without --no-clock"):
        replay_counts(city, file, "readings", **NIGHT, own_clock=False)


def test_a_replay_stops_when_asked_even_while_the_broker_is_away(city, file, publisher):
    publisher.away = True
    asked = iter(range(200))
    said = []
    done = replay_counts(
        city, file, "readings", **NIGHT, speed=3.6e9, say=said.append, stop=lambda: next(asked, 999) > 100
    )
    assert done.stopped
    assert done.acknowledged == 0
    assert any("no broker answers; trying again" in line for line in said)
    assert not city_clock(city.path).simulated


def test_nights_that_the_file_does_not_have_are_refused(city, file):
    with pytest.raises(RecipeError, match="goes from 2026-11-20 to 2026-11-22"):
        recorded_messages(city, file, "readings", first=date(2030, 1, 1), until=date(2030, 1, 2), seed=0)
