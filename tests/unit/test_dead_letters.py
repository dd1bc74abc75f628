"""A refused message becomes readings once what was wrong is mended: each once, whatever ends the replay half-way."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import noctule
from ingest import dead_letters as module
from ingest.archive import follow, night_records, read_manifest
from ingest.dead_letters import RATE, Letter, Wanted, letters, replay, shard_folders
from ingest.intake import KEPT_OF_OVERSIZE
from ingest.lock import shelf_lock
from ingest.log import DEAD, Log, Message, pack_frame
from ingest.shard_log import ShardLog
from sensors.city import City
from sensors.clock import set_clock
from sensors.errors import ShelfLocked
from sensors.flags import Flag
from sensors.places import save_place
from sensors.register import add_site
from sensors.wire import Sample, encode_pack, quantity_topic
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_service import NIGHT, NOW, NOW_MS, start, until_done

UNKNOWN = "device '{}' is not in the site register; add it with 'noctule site add'"
# A run that is too long, an impossible level, and a clock that is far ahead.
STORY = [55.0] * 14 + [300.0, 48.0, 49.5, 47.0]


@pytest.fixture
def city(tmp_path) -> City:
    town = make_city(tmp_path / "town")
    set_clock(town.path, NOW, 1.0)
    return town


def topic(device: str, quantity: str = "sound_laeq") -> str:
    return quantity_topic("noctule", "smalltown", device, quantity)


def pack(seq: int, value: float = 55.0, *, ahead_min: int = 0) -> bytes:
    time = NOW_MS - 3_600_000 + (seq + ahead_min) * 60_000
    return encode_pack([Sample("sound_laeq", time, value, 60.0)], boot=1, seq=seq)


def story(device: str = "ghost") -> list[tuple[str, bytes]]:
    return [
        *((topic(device), pack(seq, value)) for seq, value in enumerate(STORY)),
        (topic(device), pack(len(STORY), 50.0, ahead_min=600)),
    ]


def mend(city: City, device: str = "ghost", quantity: str = "sound_laeq") -> int:
    return add_site(city, device=device, quantity=quantity, easting=WEST + 50, northing=SOUTH + 50)


def sent(city: City, messages: list[tuple[str, bytes]], *, retained: bool = False) -> None:
    """An ingest takes these in, and stops."""
    service = start(city)
    service.kept.recover()
    for name, payload in messages:
        service.subscriber.deliver(name, payload, retained=retained)
    until_done(service, len(messages))
    service._finish()


def refuse(city: City, shard: str, messages: list[Message]) -> None:
    """Letters as an ingest leaves them in the log of a shard."""
    log = Log.open(city.shelf("log", shard))
    log.append([pack_frame(DEAD, messages)])
    log.close()


def letter(seq: int, device: str = "ghost", reason: str = "", *, payload: bytes | None = None) -> Message:
    received = NOW_MS - 3_600_000 + seq * 60_000 + 500
    return Message(topic(device), pack(seq) if payload is None else payload, received, reason or UNKNOWN.format(device))


def contents(city: City) -> dict[str, str]:
    """Every file of the store with the hash of its bytes."""
    return {
        str(path.relative_to(city.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(city.path.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def told(city: City) -> list[tuple[object, ...]]:
    names = ("site", "quantity", "time", "value", "duration_s", "flags", "boot", "seq", "part")
    return night_records(city, NIGHT)[list(names)].tolist()


def test_refused_messages_become_readings_once(city):
    sent(city, story())
    assert told(city) == []
    site = mend(city)
    done = replay(city)
    assert (done.letters, done.stored, done.readings, done.known, done.refused) == (19, 19, 19, 0, 0)
    stored = night_records(city, NIGHT)
    assert sorted(stored["seq"].tolist()) == list(range(19))
    assert set(stored["site"].tolist()) == {site}
    assert sum(file.rows for file in read_manifest(city).files) == 19
    again = replay(city)
    assert (again.letters, again.readings) == (0, 0)
    assert len(night_records(city, NIGHT)) == 19
    assert [one.replayed for one in letters(city)] == [True] * 19


def test_what_is_still_wrong_stays_a_letter_with_its_reason(city):
    sent(city, [*story(), (topic("ghost"), b"{broken"), (topic("other"), pack(1))])
    mend(city)
    done = replay(city)
    assert (done.letters, done.stored, done.refused) == (21, 19, 2)
    assert len(done.reasons) == 2 and any("register" in reason for reason in done.reasons)
    assert "2 are still refused" in done.lines()[0] and len(done.lines()) == 3
    assert replay(city).letters == 2


def test_readings_keep_the_time_at_which_they_were_received_first(city):
    refuse(city, "0", [letter(3)])
    mend(city)
    set_clock(city.path, NOW + np.timedelta64(3, "D"), 1.0)
    replay(city)
    (record,) = night_records(city, NIGHT)
    assert record["received"] == np.datetime64(letter(3).received_ms, "ms")
    assert not record["flags"] & (Flag.LATE | Flag.DELAYED)


def test_flags_are_those_that_the_readings_would_have_had(city, tmp_path):
    other = make_city(tmp_path / "known")
    set_clock(other.path, NOW, 1.0)
    mend(other)
    sent(other, story())
    expected = told(other)
    flags = np.array([row[5] for row in expected])
    assert {Flag.REPEAT, Flag.RANGE, Flag.CLOCK} <= {Flag(bit) for value in flags for bit in Flag if value & bit}
    sent(city, story())
    mend(city)
    replay(city)
    assert told(city) == expected


def test_flags_are_those_of_then_even_if_later_readings_of_the_site_were_stored_before(city, tmp_path):
    other = make_city(tmp_path / "known")
    messages = [(topic("ghost"), pack(seq, value)) for seq, value in enumerate([55.0] * 14 + [48.0, 49.5, 47.0] * 4)]
    for town in (city, other):
        set_clock(town.path, NOW, 1e-6)
        mend(town)
    sent(other, messages)
    expected = {row[7]: row[5] for row in told(other)}
    assert expected[12] & Flag.REPEAT
    sent(city, messages[:9])
    refuse(city, "0", [Message(name, payload, NOW_MS, "a decoder that was mended") for name, payload in messages[9:14]])
    sent(city, messages[14:])
    assert replay(city).readings == 5
    assert {row[7]: row[5] for row in told(city)} == expected


def test_a_dry_run_says_the_same_and_changes_nothing(city):
    sent(city, [*story(), (topic("ghost"), b"{broken")])
    mend(city)
    before = contents(city)
    dry = replay(city, dry=True)
    assert contents(city) == before
    wet = replay(city)
    assert dry.to_dict() | {"dry_run": False} == wet.to_dict()
    assert "would be stored" in dry.lines()[0] and "would" not in wet.lines()[0]


def test_beside_a_running_ingest_only_a_dry_run_is_done(city):
    refuse(city, "0", [letter(1)])
    refuse(city, "1", [letter(2)])
    mend(city)
    before = contents(city)
    with shelf_lock(city.shelf("log", "1"), "noctule ingest town"):
        with pytest.raises(ShelfLocked, match="noctule ingest town"):
            replay(city)
        assert contents(city) == before
        assert replay(city, dry=True).readings == 2
    assert replay(city).readings == 2


def test_of_several_shards_each_letter_is_read_once_and_a_message_in_two_is_one(city):
    refuse(city, "0", [letter(seq) for seq in range(5)])
    refuse(city, "1", [letter(seq, "other") for seq in range(3)] + [letter(2)])
    mend(city)
    mend(city, "other")
    assert [folder.name for folder in shard_folders(city)] == ["0", "1"]
    dry, wet = replay(city, dry=True), replay(city)
    assert (wet.letters, wet.readings, wet.stored, wet.known) == (9, 8, 8, 1)
    assert dry.to_dict() | {"dry_run": False} == wet.to_dict()
    assert len(told(city)) == 8
    assert set(read_manifest(city).positions) == {"0", "1"}
    assert replay(city).letters == 0


class Killed(BaseException):
    """Nothing of ours catches it, as nothing catches a kill."""


def kill_before_the_log(monkeypatch) -> None:
    def append(self, frames, records):
        raise Killed

    monkeypatch.setattr(ShardLog, "append", append)


def kill_between_the_frames(monkeypatch) -> None:
    def append(self, frames, records):
        self._opened().append(frames[:1])
        raise Killed

    monkeypatch.setattr(ShardLog, "append", append)


def kill_before_the_tail(monkeypatch) -> None:
    def append(self, frames, records):
        self._opened().append(frames)
        raise Killed

    monkeypatch.setattr(ShardLog, "append", append)


def kill_before_the_archive(monkeypatch) -> None:
    def compact(*_: object) -> int:
        raise Killed

    monkeypatch.setattr(module, "compact", compact)


def kill_before_the_state(monkeypatch) -> None:
    def save(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(ShardLog, "save", save)


KILLS = [
    kill_before_the_log,
    kill_between_the_frames,
    kill_before_the_tail,
    kill_before_the_archive,
    kill_before_the_state,
]


@pytest.mark.parametrize("kill", KILLS)
def test_a_replay_that_was_killed_is_simply_run_again(city, tmp_path, monkeypatch, kill):
    known = make_city(tmp_path / "known")
    set_clock(known.path, NOW, 1.0)
    mend(known)
    sent(known, story())
    sent(city, story())
    mend(city)
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(Killed):
            replay(city)
    replay(city)
    assert told(city) == told(known)
    assert all(one.replayed for one in letters(city))
    assert replay(city).letters == 0
    sent(city, story())  # an ingest goes on as if nothing had happened
    assert told(city) == told(known)


def test_of_a_message_that_was_understood_in_part_only_the_rest_is_new(city):
    """Of the two moments one was before the site's first day, as the register had it."""
    samples = [Sample("sound_laeq", NOW_MS - minutes * 60_000, 50.0 + minutes, 60.0) for minutes in (20, 10)]
    since = NOW - np.timedelta64(15, "m")
    site = add_site(city, device="ghost", quantity="sound_laeq", easting=WEST + 50, northing=SOUTH + 50, since=since)
    sent(city, [(topic("ghost"), encode_pack(samples, boot=1, seq=4))])
    assert [row[8] for row in told(city)] == [1]
    follower = follow(city)
    assert len(follower.poll()) == 1
    sites = city.places("sites").copy()
    sites.loc[sites["site"] == site, "valid_from"] = since - np.timedelta64(1, "D")
    save_place(city.path, "sites", sites)
    done = replay(City.open(city.path))
    assert (done.letters, done.stored, done.readings) == (1, 1, 1)
    assert follower.poll()["part"].tolist() == [0]
    assert sorted(row[8] for row in told(city)) == [0, 1]
    follower.close()


def test_a_letter_that_came_again_and_was_stored_brings_nothing_new(city):
    sent(city, story())
    mend(city)
    sent(city, story())
    done = replay(city)
    assert (done.letters, done.readings, done.stored, done.known) == (19, 0, 0, 19)
    assert len(told(city)) == 19
    assert replay(city).letters == 0


def test_what_came_too_fast_is_read_only_when_it_is_asked_for(city):
    too_much = f"more than 50 {RATE} came from 'ghost'"
    refuse(city, "0", [letter(1, reason=too_much), letter(2)])
    mend(city)
    first = replay(city)
    assert (first.letters, first.readings, first.refused) == (2, 1, 1)
    assert f'--reason "{RATE}"' in next(iter(first.reasons))
    assert replay(city, Wanted(reason=RATE)).readings == 1
    assert len(told(city)) == 2


def test_retained_messages_and_those_of_which_nothing_or_half_was_kept_never_come_back(city):
    mend(city)
    sent(city, [(topic("ghost"), pack(1))], retained=True)
    whole = pack(2) + b" " * (KEPT_OF_OVERSIZE - len(pack(2)))
    refuse(
        city,
        "0",
        [
            letter(2, reason="the payload has 400000 bytes; at most 262144 are read", payload=whole),
            letter(3, reason="a MAC address is in it; 200 bytes, not kept", payload=b""),
        ],
    )
    assert [module.RETAINED in one.message.reason for one in letters(city)] == [True, False, False]
    for wanted in (None, Wanted(reason="retained"), Wanted(reason="bytes")):
        assert replay(city, wanted).readings == 0
    assert told(city) == []


def test_a_device_may_be_called_retained_and_a_payload_be_as_long_as_half_a_one(city):
    whole = pack(2) + b" " * (KEPT_OF_OVERSIZE - len(pack(2)))
    refuse(city, "0", [letter(1, "retained-1"), letter(2, payload=whole)])
    mend(city, "retained-1")
    mend(city)
    assert replay(city).readings == 2


def test_reason_device_and_since_choose_letters(city):
    refuse(city, "0", [letter(1), letter(2, "other"), letter(3), letter(4, reason="Broken JSON")])
    moment = np.datetime64(letter(3).received_ms, "ms")

    def chosen(**asked: object) -> list[tuple[str, int]]:
        return [
            (one.device, json.loads(one.message.payload)[0]["seq"])
            for one in letters(city, Wanted(**asked))  # type: ignore[arg-type]
        ]

    assert chosen(device="other") == [("other", 2)]
    assert chosen(reason="broken") == [("ghost", 4)]
    assert chosen(since=moment) == [("ghost", 3), ("ghost", 4)]
    assert chosen(since=moment, reason="register") == [("ghost", 3)]
    mend(city)
    mend(city, "other")
    assert replay(city, Wanted(device="other")).readings == 1
    assert len(told(city)) == 1


def test_a_letter_is_told_to_people_and_machines(city):
    refuse(city, "0", [Message("noctule/smalltown/ghost/power", b"\xffx", NOW_MS, "unknown")])
    (one,) = letters(city)
    assert one.to_dict() == {
        "received": "2026-11-20T20:00:00.000Z",
        "topic": "noctule/smalltown/ghost/power",
        "device": "ghost",
        "reason": "unknown",
        "bytes": 2,
        "payload": "\\xffx",
        "shard": "0",
        "place": one.place,
        "replayed": False,
    }
    assert one.text().startswith("2026-11-20T20:00:00.000Z  noctule/smalltown/ghost/power  unknown\n")
    assert "(replayed)" in Letter("0", "1:2:3", one.message, True).text()


def test_a_city_without_a_log_has_no_letters(city):
    assert list(letters(city)) == []
    assert replay(city).to_dict()["letters"] == replay(city, dry=True).to_dict()["letters"] == 0


def test_the_command_replays_and_says_so(city):
    sent(city, story())
    mend(city)
    runner = CliRunner()
    command = ["ingest", str(city.path), "--replay-dead"]
    dry = runner.invoke(noctule.app, [*command, "--dry-run", "--json"])
    assert dry.exit_code == 0, dry.output
    assert json.loads(dry.stdout) == {
        "letters": 19,
        "stored": 19,
        "readings": 19,
        "known": 0,
        "refused": 0,
        "refused_by_reason": {},
        "dry_run": True,
    }
    assert "19 readings of 19 letters stored" in runner.invoke(noctule.app, command).stdout
    assert runner.invoke(noctule.app, command).stdout.startswith("0 dead letters read again")
    told_back = runner.invoke(noctule.app, ["health", str(city.path), "--dead", "--json"])
    assert all(json.loads(line)["replayed"] for line in told_back.stdout.splitlines())
    assert runner.invoke(noctule.app, ["ingest", str(city.path), "--dry-run"]).exit_code == 2
    assert runner.invoke(noctule.app, [*command, "--since", "yesterday"]).exit_code == 2
