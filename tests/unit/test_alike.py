"""Payloads that are alike are read to what each of them says alone, and whatever is not alike is left."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors import alike as module
from sensors.alike import Alike
from sensors.quantities import QUANTITIES
from sensors.quick_pack import Packs, columns, quick_reader

POWER = QUANTITIES["power"]
LEVEL = QUANTITIES["sound_la10"]


@pytest.fixture(autouse=True, scope="module")
def few_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEWEST", 2)
        yield


def read(payloads, kinds=None, reader=None, alike=None) -> Packs:
    kinds = np.full(len(payloads), POWER.code) if kinds is None else kinds
    return (alike or Alike()).read(payloads, kinds, reader or (lambda _: quick_reader(POWER)))


def rows(packs: Packs) -> list[tuple[float, ...]]:
    part = np.broadcast_to(packs.part, packs.value.shape)
    columns = (packs.time_s, packs.value, packs.duration_s, packs.boot, packs.seq, part)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def alone(payload: bytes, quantity=POWER) -> list[tuple[float, ...]] | None:
    """What a payload says; None where the quick way leaves it."""
    try:
        found = columns([quick_reader(quantity)(payload)], [payload])
    except msgspec.DecodeError:
        return None
    return None if found is None else rows(found)


def digits(least: int, most: int):
    return st.text("0123456789", min_size=least, max_size=most)


number = st.builds(
    lambda sign, whole, rest, spelt: f"{sign}{whole}{'.' + rest if rest else ''}{spelt}",
    st.sampled_from(["", "", "", "-"]),
    st.one_of(digits(1, 3), digits(1, 20), st.sampled_from(["1795212000", "4294967295", "4294967296", "604800", "0"])),
    st.one_of(st.just(""), digits(1, 3), digits(1, 16)),
    st.sampled_from([""] * 6 + ["e1", "E-2"]),
)
member = st.one_of(
    st.tuples(st.sampled_from(["v", "t", "bt", "duration_s", "boot", "seq", "\\u0074", "w"]), number),
    st.tuples(st.just("n"), st.sampled_from(['""', '"power"', '"power1"'])),
    st.tuples(st.sampled_from(["u", "bu"]), st.sampled_from(['"W"', '"lx"', '"1"'])),
)


@st.composite
def texts(draw) -> str:
    """One pack as text, usual or not."""
    members = [("v", draw(number)), *draw(st.lists(member, max_size=5))]
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", "), (":", " ,")]))
    record = "{" + comma.join(f'"{name}"{colon}{value}' for name, value in members) + "}"
    return "[" + comma.join([record] * draw(st.sampled_from([1, 1, 1, 2]))) + "]"


@st.composite
def groups(draw) -> list[bytes]:
    """Packs with other digits than the first, and here and there another character or another pack."""
    text = draw(texts())
    group = [text]
    for _ in range(draw(st.integers(1, 8))):
        other = re.sub("[0-9]", lambda _: draw(st.sampled_from("0123456789")), text)
        if draw(st.integers(0, 4)) == 0:
            at = draw(st.integers(0, len(other) - 1))
            other = other[:at] + draw(st.sampled_from('019-.:,"{}[]e x')) + other[at + 1 :]
        if draw(st.integers(0, 9)) == 0:
            other = draw(texts())
        group.append(other)
    return [text.encode() for text in draw(st.permutations(group))]


@given(groups())
@example([b'[{"v":1.5,"seq":1}]', b'[{"v":0.5,"seq":2}]', b'[{"v":1.5,"seq":1}'])
@example([b'[{"v":15}]', b'[{"v":05}]', b'[{"v":-5}]'])
@example([b'[{"v":1,"\\u0074":5}]', b'[{"v":2,"\\u0074":6}]'])
@example([b'[{"v":1,"v":5}]', b'[{"v":2,"v":6}]'])
@example([b'[{"v":1,"seq":4294967295}]', b'[{"v":1,"seq":9999999999}]'])
@example([b'[{"v":1,"duration_s":604800}]', b'[{"v":1,"duration_s":904800}]'])
@example([b'[{"bt":1795212000,"v":1,"t":1}]', b'[{"bt":1795212007,"v":1,"t":2}]'])
def test_what_is_read_of_a_group_is_what_each_payload_says_alone(group):
    found = read(group)
    assert found.pack.tolist() == sorted(set(found.pack.tolist()))
    for place, row in zip(found.pack.tolist(), rows(found), strict=True):
        assert alone(group[place]) == [row], group[place]


@given(st.lists(groups(), min_size=2, max_size=4))
def test_what_was_met_before_changes_no_reading(several):
    remembers = Alike()
    for group in several:
        found = read(group, alike=remembers)
        for place, row in zip(found.pack.tolist(), rows(found), strict=True):
            assert alone(group[place]) == [row], group[place]


@given(st.lists(st.tuples(digits(1, 15), st.integers(0, 15)), min_size=2, max_size=30))
def test_a_number_is_rounded_as_a_parser_rounds(spelt):
    def text(whole: str, point: int) -> str:
        padded = whole.zfill(15)
        return (padded[: 15 - point].lstrip("0") or "0") + ("." + padded[15 - point :] if point else "")

    numbers = [text(whole, min(point, 14)) for whole, point in spelt]
    found = read([f'[{{"v":{one}}}]'.encode() for one in numbers + numbers])
    assert len(found.pack) == 2 * len(numbers)
    assert found.value.tolist() == [float(one) for one in numbers + numbers]


def test_all_of_a_fleet_is_read_at_once():
    fleet = [
        b'[{"n":"power","u":"W","v":%d.%d,"t":%d.%03d,"duration_s":60,"boot":1,"seq":%d}]'
        % (20 + at % 70, at % 10, 1_795_212_000 + at, at % 1000, 1000 + at)
        for at in range(500)
    ]
    found = read(fleet)
    assert found.pack.tolist() == list(range(500))
    assert rows(found) == [row for payload in fleet for row in alone(payload)]


def test_one_that_is_longer_does_not_lend_its_end_to_its_neighbour():
    first, second = b'[{"v":1,"seq":3}]', b'[{"v":2,"seq":4}]'
    assert len(read([first + second[:4], second[4:]]).pack) == 0


def test_a_stranger_costs_the_others_nothing():
    fleet = [b'[{"v":%d,"seq":%d}]' % (at, at) for at in range(10, 60)]
    length = len(fleet[0])
    strangers = [b"x" * length, b'[{"v":true}]'.ljust(length), b'[{"v":1}]', b"", b'[{"v":07,"seq":10}]']
    found = read([*strangers[:2], *fleet[:20], *strangers, *fleet[20:]])
    assert found.value.tolist() == list(range(10, 60))


def test_a_digit_of_a_name_is_no_digit_of_a_number():
    payloads = [b'[{"n":"sound_la10","v":5%d}]' % at for at in range(3)] + [b'[{"n":"sound_la90","v":50}]']
    alike = Alike()
    for _ in range(2):
        found = read(payloads, np.full(4, LEVEL.code), lambda _: quick_reader(LEVEL), alike)
        assert found.pack.tolist() == [0, 1, 2]


def test_each_kind_is_read_by_its_own_reader():
    payloads = [b'[{"u":"W","v":5%d}]' % (at % 10) for at in range(8)]
    kinds = np.array([POWER.code, LEVEL.code] * 4)
    readers = {POWER.code: quick_reader(POWER), LEVEL.code: quick_reader(LEVEL)}
    found = read(payloads, kinds, lambda at: readers[int(kinds[at])])
    assert found.pack.tolist() == [0, 2, 4, 6]  # no level is in watts
    assert len(read(payloads, kinds, lambda _: None).pack) == 0


def test_made_up_shapes_do_not_fill_the_memory():
    alike = Alike()
    for length in range(1, 15):
        for rest in range(15 - length):
            for kind in range(30):
                one = b'[{"v":%s%s}]' % (b"1" * length, b"." + b"1" * rest if rest else b"")
                read([one, one], np.full(2, kind), alike=alike)
    assert 0 < len(alike._shapes) <= module._REMEMBERED
