"""Who follows the tail sees each block once, whole, in order."""

from __future__ import annotations

import numpy as np

from ingest.log import Position
from ingest.tail import TailReader, TailWriter, Upto, read_upto, tail_path
from sensors.reading import Records, empty_records


def numbered(start: int, count: int) -> Records:
    records = empty_records(count)
    records["seq"] = np.arange(start, start + count)
    return records


def test_a_reader_gets_each_block_once_as_it_appears(tmp_path):
    writer, reader = TailWriter(tmp_path), TailReader(tmp_path, 1)
    assert reader.read() == []
    for number in range(5):
        writer.append(Position(1, 100 * (number + 1)), numbered(number * 3, 3))
        ((position, records),) = reader.read()
        assert position == Position(1, 100 * (number + 1))
        np.testing.assert_array_equal(records, numbered(number * 3, 3))
        assert reader.read() == []


def test_a_reader_goes_on_after_a_place_in_the_log(tmp_path):
    writer = TailWriter(tmp_path)
    for number in range(5):
        writer.append(Position(1, 100 * (number + 1)), numbered(number, 1))
    assert [position.offset for position, _ in TailReader(tmp_path, 1, after=300).read()] == [400, 500]


def test_a_torn_block_is_not_shown_and_is_written_over(tmp_path):
    writer = TailWriter(tmp_path)
    writer.append(Position(1, 100), numbered(0, 2))
    writer.append(Position(1, 200), numbered(2, 2))
    writer.close()
    whole = tail_path(tmp_path, 1).read_bytes()
    half = len(whole) // 2
    for length in range(half, len(whole)):
        tail_path(tmp_path, 1).write_bytes(whole[:length])
        assert [position.offset for position, _ in TailReader(tmp_path, 1).read()] == [100]
        again = TailWriter(tmp_path)
        again.append(Position(1, 200), numbered(2, 2))
        again.close()
        assert tail_path(tmp_path, 1).read_bytes() == whole


def test_segments_without_good_readings_leave_no_gap_in_the_numbers(tmp_path):
    writer = TailWriter(tmp_path)
    writer.append(Position(2, 100), numbered(0, 1))
    writer.append(Position(5, 100), numbered(1, 1))
    assert [tail_path(tmp_path, number).exists() for number in range(1, 7)] == [False, True, True, True, True, False]


def test_what_a_shard_says_it_is_complete_up_to(tmp_path):
    assert read_upto(tmp_path) is None
    upto = Upto(tmp_path)
    for moment in (1_795_212_000_000, 1_795_212_000_500):
        upto.say(moment)
        assert read_upto(tmp_path) == moment
