"""The archive holds each reading once, whenever it came and whatever was killed in between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest

from ingest import archive
from ingest.archive import (
    Cursor,
    add_reflags,
    answers,
    answers_summary,
    append_records,
    compact,
    follow,
    manifest_path,
    night_records,
    nights,
    read_manifest,
    stored_until,
    verify,
)
from ingest.ledger import read_ledger
from ingest.log import Position
from ingest.night_files import REFLAG
from ingest.tail import TailWriter, Upto
from sensors.answer import ANSWER_COLUMNS
from sensors.city import City
from sensors.errors import StoreError
from sensors.flags import Flag
from sensors.reading import NO_SEQ, RECORD, Records, sort_by_key
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

DUSK = np.datetime64("2026-11-20T18:00:00", "ms")
NIGHT = "2026-11-20"


@pytest.fixture
def city(tmp_path) -> City:
    return make_city(tmp_path / "town")


def readings(start: int, count: int, *, site: int = 3, after_min: float = 0.0) -> Records:
    records = np.zeros(count, RECORD)
    records["seq"] = np.arange(start, start + count)
    records["boot"] = 1
    records["site"] = site
    records["quantity"] = 1
    records["value"] = records["seq"] / 7
    records["duration_s"] = 60
    minutes = (records["seq"].astype(float) + after_min) * 60_000
    records["time"] = DUSK + minutes.astype("timedelta64[ms]")
    records["received"] = records["time"] + np.timedelta64(1500, "ms")
    return records


class Shard:
    """Stands for an ingest: appends to the tail as the service does after each group."""

    def __init__(self, city: City, name: str = "0") -> None:
        self.city = city
        self.name = name
        self.tail = TailWriter(city.shelf("log", name))
        self.end = Position(1, 0)

    def store(self, records: Records, segment: int | None = None) -> None:
        new_segment = segment is not None and segment != self.end.segment
        self.end = Position(segment or self.end.segment, 0 if new_segment else self.end.offset)
        self.end = Position(self.end.segment, self.end.offset + 1000)
        self.tail.append(self.end, records)

    def compact(self) -> int:
        return compact(self.city, {self.name: self.end})


def keys(records: Records) -> list[tuple[int, int]]:
    return sorted(zip(records["site"].tolist(), records["seq"].tolist(), strict=True))


def test_readings_are_there_before_and_after_compaction_and_in_between(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    expected = sort_by_key(readings(0, 10))
    np.testing.assert_array_equal(night_records(city, NIGHT), expected)
    assert shard.compact() == 10
    np.testing.assert_array_equal(night_records(city, NIGHT), expected)
    shard.store(readings(10, 5))
    np.testing.assert_array_equal(night_records(city, NIGHT), sort_by_key(readings(0, 15)))
    assert nights(city) == [date(2026, 11, 20)]


def test_a_reading_delivered_twice_is_there_once_and_the_first_counts(city):
    shard = Shard(city)
    again = readings(0, 10)
    again["received"] += np.timedelta64(60, "s")
    shard.store(readings(0, 10))
    shard.store(again)
    shard.compact()
    shard.store(again)
    shard.compact()
    np.testing.assert_array_equal(night_records(city, NIGHT), sort_by_key(readings(0, 10)))


def test_readings_without_numbers_are_told_apart_by_what_they_say(city):
    records = readings(0, 4)
    records["seq"] = NO_SEQ
    Shard(city).store(np.concatenate([records, records]))
    assert len(night_records(city, NIGHT)) == 4


def test_the_archive_never_passes_what_nobody_has_read(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    (file,) = city.shelf("log", "0", "tail").glob("*.rec")
    shard.store(readings(10, 10))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])  # the last block is torn
    with pytest.raises(StoreError, match="tail of shard 0 does not reach 1:2000"):
        shard.compact()
    assert read_manifest(city).positions == {}
    file.write_bytes(whole)
    assert shard.compact() == 20


def test_compacting_again_changes_nothing(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    shard.compact()
    before = manifest_path(city).read_bytes()
    assert shard.compact() == 0
    assert manifest_path(city).read_bytes() == before


class Killed(BaseException):
    """What a signal does: nobody catches it."""


class FileOperations:
    """Counts the calls that change the disk, and dies at one of them: before it is made, or after."""

    CALLS = ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "mkdir"), (parquet, "write_table"))

    def __init__(self, patch: pytest.MonkeyPatch, die_at: int = -1, after: bool = False) -> None:
        self.made = 0
        for module, name in self.CALLS:
            patch.setattr(module, name, self._counted(getattr(module, name), die_at, after))

    def _counted(self, call, die_at, after):
        def counted(*args, **kwargs):
            self.made += 1
            if self.made == die_at and not after:
                raise Killed
            fatal = self.made == die_at
            try:
                return call(*args, **kwargs)
            finally:
                if fatal:
                    raise Killed

        return counted


def eventful(city: City) -> Shard:
    """An archive that is about to merge a night of log, history, gaps and a conflict, and to begin another night."""
    shard = Shard(city)
    append_records(city, readings(200, 5, site=5), "history")
    for number in range(archive.FILES_A_NIGHT - 1):
        shard.store(readings(number * 5, 4))
        shard.compact()
    contradicting = readings(2, 1)
    contradicting["value"], contradicting["received"] = 99, contradicting["received"] + np.timedelta64(1, "h")
    shard.store(np.concatenate([readings(90, 4), readings(2000, 2), contradicting]))
    return shard


def contents(city: City) -> tuple[list[bytes], dict[str, int], int, int]:
    manifest = read_manifest(city)
    ledger = read_ledger(city, manifest)
    found = [night_records(city, night).tobytes() for night in nights(city)]
    return found, dict(manifest.positions), len(ledger.gaps), manifest.conflicts


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_compaction_killed_at_any_file_operation_leaves_the_old_or_the_new_and_is_repeated(
    tmp_path, monkeypatch, after
):
    whole = eventful(make_city(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        operations = FileOperations(patch)
        whole.compact()
    assert operations.made > 20
    expected = contents(whole.city)
    ready = eventful(make_city(tmp_path / "ready"))
    before = contents(ready.city)
    for die_at in range(1, operations.made + 1):
        city = City.open(shutil.copytree(ready.city.path, tmp_path / f"killed-{die_at}"))
        shard = Shard(city)
        shard.end = ready.end
        with monkeypatch.context() as patch, pytest.raises(Killed):
            FileOperations(patch, die_at, after)
            shard.compact()
        assert contents(city)[0] == expected[0]  # the readings are there all the time, in the log or in the archive
        assert contents(city)[1:] in (before[1:], expected[1:])
        assert verify(city) == []
        shard.compact()
        assert contents(city) == expected
        if die_at % 5:
            continue
        append_records(city, readings(300, 1, site=5), "history")  # whoever writes next tidies up
        listed = {file.path for file in read_manifest(city).all_files()}
        shelf = city.shelf("readings")
        assert {str(path.relative_to(shelf)) for path in shelf.rglob("*.parquet*")} == listed


_COMPACTING = """
import sys
from pathlib import Path
from ingest.archive import compact
from ingest.log import Position
from sensors.city import City
city = City.open(Path(sys.argv[1]))
print("begun", flush=True)
compact(city, {"0": Position(1, int(sys.argv[2]))})
"""


@pytest.mark.slow
def test_a_compaction_killed_by_a_signal_is_repeated(tmp_path):
    expected = None
    ready = eventful(make_city(tmp_path / "ready"))
    for delay_ms in (None, 0, 5, 20):
        city = City.open(shutil.copytree(ready.city.path, tmp_path / f"killed-{delay_ms}"))
        shard = Shard(city)
        shard.end = ready.end
        command = [sys.executable, "-c", _COMPACTING, str(city.path), str(shard.end.offset)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None and process.stdout.readline() == b"begun\n"
            if delay_ms is not None:
                time.sleep(delay_ms / 1000)
                process.kill()
            process.wait(timeout=120)
        assert verify(city) == []
        shard.compact()
        expected = expected or contents(city)
        assert contents(city) == expected


def test_a_file_that_has_changed_or_gone_is_told(city):
    shard = Shard(city)
    for number in range(3):
        shard.store(readings(number * 10, 3))
        shard.compact()
    assert verify(city) == []
    first, second, *_ = [file.path for file in read_manifest(city).files]
    path = city.shelf("readings", first)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    city.shelf("readings", second).unlink()
    changed, gone = verify(city)
    assert first in changed and "SHA-256" in changed
    assert second in gone and "not there" in gone


def test_many_small_files_of_a_night_become_one_and_nothing_is_lost(city):
    shard = Shard(city)
    for number in range(20):
        shard.store(readings(number * 5, 6))  # one of six comes again with the next
        shard.compact()
    files = read_manifest(city).files
    assert len(files) <= archive.FILES_A_NIGHT
    assert {file.path for file in files} == {
        str(path.relative_to(city.shelf("readings"))) for path in city.shelf("readings").glob("night=*/*")
    }
    np.testing.assert_array_equal(night_records(city, NIGHT), sort_by_key(readings(0, 101)))


def test_a_late_reading_is_found_in_its_own_night(city):
    shard = Shard(city)
    shard.store(readings(0, 3))
    shard.compact()
    late = readings(10, 1)
    late["received"] += np.timedelta64(3, "D")
    late["flags"] = Flag.LATE
    shard.store(late)
    shard.compact()
    assert keys(night_records(city, NIGHT)) == [(3, 0), (3, 1), (3, 2), (3, 10)]
    cut = night_records(city, NIGHT, received_until=np.datetime64("2026-11-21T10:00:00", "ms"))
    assert keys(cut) == [(3, 0), (3, 1), (3, 2)]


def test_the_cut_is_by_receipt_and_includes_its_moment(city):
    Shard(city).store(readings(0, 10))
    until = readings(4, 1)["received"][0]
    assert len(night_records(city, NIGHT, received_until=until)) == 5
    assert len(night_records(city, NIGHT, received_until=until - np.timedelta64(1, "ms"))) == 4


def test_a_reading_whose_clock_failed_belongs_to_the_night_of_its_receipt(city):
    broken = readings(0, 1)
    broken["time"] = np.datetime64(0, "ms")
    broken["received"] = DUSK
    broken["flags"] = Flag.CLOCK
    shard = Shard(city)
    shard.store(broken)
    for _ in range(2):
        assert nights(city) == [date(2026, 11, 20)]
        assert len(night_records(city, NIGHT)) == 1
        shard.compact()


def test_a_follower_gets_everything_once_across_compactions_and_segments(city):
    shard = Shard(city)
    follower = follow(city)
    got: list[Records] = []
    for number in range(12):
        shard.store(readings(number * 10, 10), segment=1 + number // 3)
        if number % 2:
            got.append(follower.poll())
        if number % 5 == 1:
            shard.compact()
    got.append(follower.poll())
    assert keys(np.concatenate(got)) == [(3, seq) for seq in range(120)]
    assert len(follower.poll()) == 0


def test_a_follower_reads_the_archive_first(city):
    shard = Shard(city)
    append_records(city, readings(0, 10, site=5, after_min=-10_000), "history")
    shard.store(readings(0, 10))
    shard.compact()
    shard.store(readings(10, 10))
    got = follow(city).poll()
    assert len(got) == 30
    assert keys(got[-10:]) == [(3, seq) for seq in range(10, 20)]
    assert keys(follow(city, since=NIGHT).poll()) == [(3, seq) for seq in range(20)]


def test_a_cursor_goes_on_where_the_last_follower_stopped(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    first = follow(city)
    assert len(first.poll()) == 10
    cursor = Cursor.from_json(first.cursor.to_json())
    shard.store(readings(10, 10), segment=2)
    shard.compact()
    shard.store(readings(20, 10), segment=3)
    missed = follow(city, cursor).poll()
    assert set(keys(missed)) >= {(3, seq) for seq in range(10, 30)}
    assert len(follow(city, cursor=None).poll()) == 30


def test_a_follower_repeats_nothing_when_log_and_history_are_merged(city):
    """Followers that stopped at any commit, and one that never did, get each reading once."""
    shard = Shard(city)
    always, got = follow(city), []
    cursors = [Cursor()]
    known: list[set[tuple[int, int]]] = [set()]
    for number in range(25):
        if number % 4 == 2:
            append_records(city, readings(number * 3, 3, site=5), "history")
        shard.store(readings(number * 4, 4))
        if number % 3:
            got.append(always.poll())  # some from the tail, before the compaction, some after it
        shard.compact()
        got.append(always.poll())
        cursors.append(Cursor.from_json(always.cursor.to_json()))
        known.append(set(keys(np.concatenate(got))))
    everything = keys(night_records(city, NIGHT))
    assert len(read_manifest(city).files) <= archive.FILES_A_NIGHT
    assert keys(np.concatenate(got)) == everything
    for cursor, before in zip(cursors, known, strict=True):
        late = keys(follow(city, cursor).poll())
        assert len(late) == len(set(late))
        assert sorted([*before, *late]) == everything
    fresh = follow(city, cursors[5])
    for path in city.shelf("log", "0", "tail").glob("*.rec"):
        path.unlink()  # as after a week: now all of it comes from the archive
    assert sorted([*known[5], *keys(fresh.poll())]) == everything


def test_an_archive_of_the_first_format_is_read_and_written_on(city):
    """Before re-flags, ledger and commits of readings."""
    shard = Shard(city)
    append_records(city, readings(500, 5, site=5), "history")
    shard.store(readings(0, 5))
    shard.compact()
    manifest = msgspec.json.decode(manifest_path(city).read_bytes())
    for later in ("reflags", "ledger", "imports", "conflicts"):
        del manifest[later]
    manifest_path(city).write_bytes(msgspec.json.encode(manifest | {"format": 1}))
    cursor = Cursor(number=1, positions={"0": (1, 1000)})
    for number in range(1, 10):
        shard.store(readings(number * 5, 5))
        shard.compact()
    assert len(night_records(city, NIGHT)) == 55
    assert keys(follow(city, cursor).poll()) == [(3, seq) for seq in range(5, 50)]
    manifest_path(city).write_bytes(msgspec.json.encode(manifest | {"format": 99}))
    with pytest.raises(StoreError, match="migrate"):
        nights(city)


def reflag(records: Records, added: int, dated: np.datetime64, removed: int = 0) -> np.ndarray:
    rows = np.zeros(len(records), REFLAG)
    for name in ("site", "quantity", "boot", "seq", "part", "time", "duration_s"):
        rows[name] = records[name]
    rows["flags_added"], rows["flags_removed"], rows["dated"] = added, removed, dated
    return rows


@pytest.mark.parametrize("numbered", [True, False])
def test_what_is_learnt_later_is_known_from_its_date_on(city, numbered):
    shard = Shard(city)
    records = readings(0, 10)
    if not numbered:
        records["seq"] = NO_SEQ
    shard.store(records)
    shard.compact()
    monday, tuesday = DUSK + np.timedelta64(3, "D"), DUSK + np.timedelta64(4, "D")
    before = night_records(city, NIGHT, received_until=monday)
    add_reflags(city, NIGHT, reflag(records[3:5], Flag.SPIKE, monday), ["spike"] * 2)
    add_reflags(city, NIGHT, reflag(records[4:5], Flag.LAMP, tuesday, Flag.SPIKE), ["lamp"])
    learnt = [0, 0, 0, Flag.SPIKE, Flag.LAMP, 0, 0, 0, 0, 0]
    assert night_records(city, NIGHT)["flags"].tolist() == learnt
    on_monday = [0, 0, 0, Flag.SPIKE, Flag.SPIKE, 0, 0, 0, 0, 0]
    assert night_records(city, NIGHT, received_until=monday)["flags"].tolist() == on_monday
    earlier = night_records(city, NIGHT, received_until=monday - np.timedelta64(1, "ms"))
    assert earlier.tobytes() == before.tobytes()
    assert not night_records(city, NIGHT, reflagged=False)["flags"].any()
    assert not follow(city).poll()["flags"].any()
    assert verify(city) == []


def test_re_flags_outlive_merges(city):
    shard = Shard(city)
    for number in range(20):
        shard.store(readings(number * 5, 5))
        shard.compact()
        add_reflags(city, NIGHT, reflag(readings(number * 5, 1), Flag.SPIKE, DUSK + np.timedelta64(number, "D")), ["x"])
    flagged = night_records(city, NIGHT)["flags"]
    assert np.flatnonzero(flagged == Flag.SPIKE).tolist() == list(range(0, 100, 5))


@pytest.mark.parametrize("bit", [Flag.RANGE, Flag.CLOCK, Flag.ORDER])
def test_nothing_is_failed_or_forgiven_later(city, bit):
    for added, removed in ((bit, 0), (0, bit)):
        with pytest.raises(StoreError, match="only physics"):
            add_reflags(city, NIGHT, reflag(readings(0, 1), added, DUSK, removed), ["no"])


def test_a_follower_sees_imported_history(city):
    follower = follow(city)
    assert len(follower.poll()) == 0
    append_records(city, readings(0, 7), "history")
    assert len(follower.poll()) == 7
    assert len(follower.poll()) == 0


def test_a_follower_finds_a_second_shard(city):
    follower = follow(city)
    Shard(city, "0").store(readings(0, 4))
    got = len(follower.poll())
    Shard(city, "1").store(readings(100, 4))
    for _ in range(archive._RESCAN_POLLS + 1):
        got += len(follower.poll())
    assert got == 8


def test_polling_for_nothing_costs_less_than_a_millisecond(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    follower = follow(city)
    follower.poll()
    began = time.process_time()
    for _ in range(200):
        follower.poll()
    assert (time.process_time() - began) / 200 < 1e-3


def test_history_is_appended_once_however_often_it_is_imported(city):
    shard = Shard(city)
    shard.store(readings(0, 5))
    assert append_records(city, readings(0, 20), "history") == 15
    assert append_records(city, readings(0, 20), "history") == 0
    assert append_records(city, readings(0, 21), "history") == 1
    assert keys(night_records(city, NIGHT)) == [(3, seq) for seq in range(21)]


def test_history_and_the_log_live_together(city):
    shard = Shard(city)
    append_records(city, readings(0, 5), "history")
    shard.store(readings(3, 10))
    shard.compact()
    assert keys(night_records(city, NIGHT)) == [(3, seq) for seq in range(13)]
    assert read_manifest(city).positions == {"0": tuple(shard.end)}


def test_the_files_are_parquet_that_others_can_read(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    shard.compact()
    (file,) = read_manifest(city).files
    table = pd.read_parquet(city.shelf("readings", file.path))
    assert list(table.columns[: len(RECORD.names)]) == list(RECORD.names)
    assert set(table["device"]) == {city.places("sites").set_index("site").device[3]}
    assert str(table["time"].dt.tz) == "UTC"


def test_a_missing_file_of_the_archive_is_named(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    shard.compact()
    (file,) = read_manifest(city).files
    city.shelf("readings", file.path).unlink()
    with pytest.raises(StoreError, match=r"00000001\.parquet.*restore it"):
        night_records(city, NIGHT)


def test_a_reader_that_meets_a_merge_reads_what_took_its_place(city, monkeypatch):
    shard = Shard(city)
    for number in range(archive.FILES_A_NIGHT):
        shard.store(readings(number, 1))
        shard.compact()
    stale = read_manifest(city)
    shard.store(readings(archive.FILES_A_NIGHT, 1))
    shard.compact()
    fresh = read_manifest(city)
    answers_given = iter([stale, fresh, fresh])
    monkeypatch.setattr(archive, "read_manifest", lambda _city: next(answers_given))
    assert len(night_records(city, NIGHT)) == archive.FILES_A_NIGHT + 1


def test_complete_up_to_the_slowest_shard(city):
    assert stored_until(city) is None
    for name, moment in (("0", 1_795_212_000_000), ("1", 1_795_211_000_000)):
        Upto(city.shelf("log", name)).say(moment)
    assert stored_until(city) == np.datetime64(1_795_211_000_000, "ms")


def test_an_empty_city_has_nothing_and_says_so_without_fuss(city):
    assert nights(city) == []
    assert len(night_records(city, NIGHT)) == 0
    assert len(answers(city)) == 0
    assert answers_summary(city)["newest"] is None


def test_answers_come_with_their_places(city: City):
    folder: Path = city.shelf("answers")
    folder.mkdir(parents=True)
    row = {name: pd.Series([1 if dtype[0] in "uf" else "x"]).astype(dtype) for name, dtype in ANSWER_COLUMNS.items()
           if name != "time"}  # fmt: skip
    table = pd.DataFrame(row | {"time": pd.Series(["2026-11-20T18:00:00"]).astype("datetime64[ms]")})
    table.to_parquet(folder / "one.parquet")
    table.assign(response_id="y").to_parquet(folder / "two.parquet")
    found = answers(city)
    assert len(found) == 2
    assert (found.geometry.x == found["easting"]).all()
    assert str(found.crs) == city.crs
    assert answers_summary(city) | {"origins": None} == {
        "answers": 2, "responses": 2, "oldest": pd.Timestamp("2026-11-20T18:00"),
        "newest": pd.Timestamp("2026-11-20T18:00"), "origins": None,
    }  # fmt: skip
