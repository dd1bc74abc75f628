"""The archive holds each reading once, whenever it came and whatever was killed in between."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ingest import archive
from ingest.archive import (
    Cursor,
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
)
from ingest.log import Position
from ingest.tail import TailWriter, Upto
from sensors.answer import ANSWER_COLUMNS
from sensors.city import City
from sensors.errors import StoreError
from sensors.flags import Flag
from sensors.reading import NO_SEQ, RECORD, Records, sort_by_key
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


def test_compacting_again_changes_nothing(city):
    shard = Shard(city)
    shard.store(readings(0, 10))
    shard.compact()
    before = manifest_path(city).read_bytes()
    assert shard.compact() == 0
    assert manifest_path(city).read_bytes() == before


@pytest.mark.parametrize("killed_in", ["_sync_folder", "_commit"])
def test_a_compaction_killed_before_its_commit_leaves_no_trace_and_is_repeated(city, monkeypatch, killed_in):
    shard = Shard(city)
    shard.store(readings(0, 10))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(archive, killed_in, killed)
        shard.compact()
    np.testing.assert_array_equal(night_records(city, NIGHT), sort_by_key(readings(0, 10)))
    assert shard.compact() == 10
    np.testing.assert_array_equal(night_records(city, NIGHT), sort_by_key(readings(0, 10)))
    listed = {file.path for file in read_manifest(city).files}
    shelf = city.shelf("readings")
    assert {str(path.relative_to(shelf)) for path in shelf.glob("night=*/*")} == listed


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
