from __future__ import annotations

import json
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from ingest.answers_desk import answers_desk
from ingest.archive import answers
from ingest.campaigns import campaigns, campaigns_off, read_campaign
from ingest.inbox import collect
from ingest.quarantine import read_decisions, read_quarantine
from ingest.surveys import remove_answers
from sensors import inbox
from sensors.clock import set_clock
from sensors.errors import StoreError
from sensors.inbox import Decide, Erase, Given, Hold, ItemAnswer, Switch, leave, read_note, waiting
from sensors.receipt import receipt_of
from tests.synthetic_city import SOUTH, WEST, make_city

NOW = np.datetime64("2026-11-20T20:05", "ms")


@pytest.fixture
def city(tmp_path):
    town = make_city(tmp_path / "town")
    set_clock(town.path, NOW, 1.0)
    return town


def given(number=1, **changes):
    values = {
        "response_id": f"{number:016x}",
        "campaign": "ask-2026-11",
        "time": "2026-11-20T20:00:00.000Z",
        "easting": WEST + 160.0,
        "northing": SOUTH + 120.0,
        "items": (ItemAnswer("core-4", "safe-here", 3, 4),),
        "light_state": "dark",
        "trigger": "spontaneous",
        "origin": "simulated",
        "consent_version": "ask-1",
        "pseudonym": f"phone {number}",
        "gender": "woman",
    }
    return Given(**values | changes)


def test_an_answer_that_is_left_is_an_answer_once_collected(city):
    leave(city, given())
    assert answers(city).empty
    assert collect(city).answers == 1
    (row,) = answers(city).to_dict("records")
    assert (row["category"], row["k"], row["campaign"], row["gender"]) == (3, 4, "ask-2026-11", "woman")
    assert "phone" not in row["pseudonym"] and waiting(city) == []


def test_sending_an_answer_twice_counts_once(city):
    leave(city, given())
    leave(city, given())
    assert len(waiting(city)) == 1
    collect(city)
    leave(city, given())
    assert collect(city).answers == 0 and len(answers(city)) == 1


def test_killed_between_keeping_and_deleting_an_answer_counts_once(city, monkeypatch):
    leave(city, given())
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collect(city)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert len(answers(city)) == 1 and len(waiting(city)) == 1  # in both, and in neither twice
    collect(city)
    assert len(answers(city)) == 1 and waiting(city) == []


def test_killed_while_keeping_an_answer_is_still_in_the_inbox(city, monkeypatch):
    import ingest.quarantine

    leave(city, given())
    kept = ingest.quarantine.write_campaign
    monkeypatch.setattr(ingest.quarantine, "write_campaign", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collect(city)
    monkeypatch.setattr(ingest.quarantine, "write_campaign", kept)
    assert len(waiting(city)) == 1
    collect(city)
    assert len(answers(city)) == 1


def test_one_response_to_several_items_is_one_person_and_goes_with_one_receipt(city):
    items = (ItemAnswer("core-4", "safe-here", 3, 4), ItemAnswer("worry-4", "worry-now", 2, 4))
    first = inbox.ItemAnswer("worry-4", _worry_item(), 2, 4)
    leave(city, given(items=(items[0], first)))
    assert collect(city).answers == 2
    assert answers(city)["response_id"].nunique() == 1
    assert remove_answers(city, receipt=receipt_of(given().response_id)) == 1
    assert answers(city).empty


def _worry_item():
    from sensors.instrument import load_instrument

    return load_instrument("worry-4").items[0].id


def test_an_erased_answer_is_gone_and_stays_gone(city):
    leave(city, given())
    collect(city)
    leave(city, Erase(given().response_id))
    assert collect(city).erased == 1 and answers(city).empty
    leave(city, given())  # the phone had not heard that it arrived
    collect(city)
    assert answers(city).empty


def test_made_up_receipts_leave_nothing_behind(city):
    for number in range(100, 120):
        leave(city, Erase(f"{number:016x}"))
    assert collect(city).erased == 0 and waiting(city) == []
    assert not (city.shelf("answers") / "erased.json").exists()


def test_a_damaged_campaign_is_told_and_the_answers_wait(city):
    leave(city, given(1))
    collect(city)
    path = city.shelf("answers") / "ask-2026-11.parquet"
    path.write_bytes(b"PAR1 torn")
    leave(city, given(2))
    with pytest.raises(StoreError, match="backup"):
        collect(city)
    assert len(waiting(city)) == 1 and path.read_bytes() == b"PAR1 torn"


def test_a_full_disk_leaves_no_half_note(city, monkeypatch):
    import os

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        leave(city, given(1))
    assert list(city.shelf("inbox").iterdir()) == []


def test_a_half_written_line_of_the_trail_is_passed_over(city):
    for number in range(1, 31):
        leave(city, given(number))
    collect(city)
    leave(city, Switch("ask-2026-11", True, "planner", "T"))
    leave(city, Decide(answers_desk(city).cases[0].case, "in", "planner", "T"))
    collect(city)
    with open(city.shelf("answers") / "decisions.jsonl", "a", encoding="utf-8") as file:
        file.write('{"time": "T", "ro')
    assert [line["state"] for line in read_decisions(city)] == ["in"]


def test_an_answer_erased_before_it_is_collected_never_arrives(city):
    leave(city, Erase(given().response_id))
    leave(city, given())
    collect(city)
    assert answers(city).empty and waiting(city) == []


def test_a_burst_through_the_form_stands_aside_while_it_grows(city):
    for number in range(1, 6):
        leave(city, given(number))
    assert collect(city).held == 0
    for number in range(6, 31):
        leave(city, given(number))
    done = collect(city)
    assert done.held == 30 and answers(city).empty  # those before it was noticed as well
    for number in range(31, 33):
        leave(city, given(number))
    collect(city)
    assert answers(city).empty


def test_decisions_and_switches_come_by_the_inbox_and_are_written_down(city):
    for number in range(1, 31):
        leave(city, given(number))
    collect(city)
    case = answers_desk(city).cases[0].case
    leave(city, Decide(case, "in", "planner", "2026-11-20T20:06:00Z"))
    assert collect(city).decided == 1 and len(answers(city)) == 30
    leave(city, Switch("ask-2026-11", False, "planner", "2026-11-20T20:07:00Z"))
    assert collect(city).switched == 1 and answers(city).empty
    leave(city, Switch("ask-2026-11", True, "planner", "2026-11-20T20:08:00Z"))
    collect(city)
    assert len(answers(city)) == 30
    assert [line.get("state", line.get("on")) for line in read_decisions(city)] == [True, False, "in"]


def test_what_a_model_finds_surprising_can_be_held(city):
    for number in range(1, 4):
        leave(city, given(number))
    collect(city)
    leave(city, Hold("ask-2026-11", "2026-11-20 1 2", (given(2).response_id,), 0.5, 1e-6))
    assert collect(city).held == 1 and len(answers(city)) == 2
    assert answers_desk(city).cases[0].rule == "surprise"


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": "../../key"},
        {"campaign": "Ask"},
        {"time": "2026-11-20T20:01:00Z"},
        {"time": "2026-11-20T21:00:00Z"},
        {"time": "1999-11-20T21:00:00Z"},
        {"time": "tomorrow"},
        {"easting": WEST - 1.0},
        {"northing": float("nan")},
        {"gender": "robot"},
        {"trigger": "shouted"},
        {"light_state": "dusk"},
        {"origin": "recorded"},
        {"items": ()},
        {"items": (ItemAnswer("core-4", "safe-here", 5, 4),)},
        {"items": (ItemAnswer("core-4", "safe-here", 0, 4),)},
        {"items": (ItemAnswer("core-4", "safe-here", 1, 5),)},
        {"items": (ItemAnswer("core-4", "other", 1, 4),)},
        {"items": (ItemAnswer("core-99", "safe-here", 1, 4),)},
        {"items": (ItemAnswer("core-4", "safe-here", 1, 4),) * 2},
    ],
)
def test_what_is_not_true_of_the_city_is_set_aside_and_told(city, changes):
    leave(city, given(1, **changes))
    leave(city, given(2))
    done = collect(city)
    assert len(done.unread) == 1 and done.answers == 1 and waiting(city) == []
    assert len(list(city.shelf("inbox", "unread").iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"type":"answer"}', b'{"type":"spell"}', b"9" * 10]
)
def test_a_damaged_note_is_set_aside_and_stops_nothing(city, content):
    path = leave(city, given(1))
    path.write_bytes(content)
    leave(city, given(2))
    done = collect(city)
    assert len(done.unread) == 1 and len(answers(city)) == 1
    json.dumps(done.to_dict())


def test_files_that_are_no_notes_are_left_alone(city):
    folder = city.shelf("inbox")
    folder.mkdir(parents=True)
    for name in ("answer-1.json", "answer-zzzzzzzzzzzzzzzz.json", ".answer.new", "notes.txt"):
        (folder / name).write_text("{}")
    assert waiting(city) == [] and collect(city).answers == 0
    assert len(list(folder.iterdir())) == 4


def test_a_full_inbox_refuses_and_says_what_would_do(city, monkeypatch):
    monkeypatch.setattr(inbox, "MOST_WAITING", 2)
    leave(city, given(1))
    leave(city, given(2))
    with pytest.raises(StoreError, match="survey collect"):
        leave(city, given(3))
    leave(city, given(2))  # what is there already is no more


def test_an_oversized_note_is_not_read(city):
    path = leave(city, given(1))
    path.write_bytes(path.read_bytes() + b" " * inbox.LARGEST_NOTE)
    assert read_note(path) is None


def test_an_id_that_is_none_cannot_name_a_file(city):
    with pytest.raises(StoreError, match="16 hexadecimal"):
        leave(city, msgspec.structs.replace(given(), response_id="../../etc/passwd"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(1, 40)),
        st.tuples(st.just("flood"), st.integers(1, 25)),
        st.tuples(st.just("erase"), st.integers(1, 40)),
        st.tuples(st.just("decide"), st.sampled_from(["in", "out", "waiting"])),
        st.tuples(st.just("switch"), st.booleans()),
        st.tuples(st.just("collect"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=15, deadline=None, derandomize=True)
@hypothesis_given(STEPS)
def test_in_whatever_order_things_come_an_answer_stands_in_one_place_once(steps):
    with tempfile.TemporaryDirectory() as folder:
        town = make_city(Path(folder) / "town")
        set_clock(town.path, NOW, 1.0)
        sent: set[str] = set()
        erased: set[str] = set()
        for step, what in steps:
            if step in ("give", "flood"):
                numbers = [what] if step == "give" else range(what, what + 20)
                notes = [given(number) for number in numbers]
                for note in notes:
                    leave(town, note)
                sent |= {note.response_id for note in notes}
            elif step == "erase":
                collect(town)  # a receipt is only known of what has arrived
                if f"{what:016x}" in sent:
                    erased.add(f"{what:016x}")
                leave(town, Erase(f"{what:016x}"))
            elif step == "decide":
                for case in answers_desk(town).cases:
                    leave(town, Decide(case.case, str(what), "planner", "T"))
            elif step == "switch" and campaigns(town) + campaigns_off(town):
                leave(town, Switch("ask-2026-11", bool(what), "planner", "T"))
            collect(town)
            table, held = read_campaign(town, "ask-2026-11"), read_quarantine(town, "ask-2026-11")
            outside = held[held["state"] != "in"]["response_id"]
            assert table["response_id"].is_unique and held["response_id"].is_unique
            assert not set(table["response_id"]) & set(outside)
            assert set(held[held["state"] == "in"]["response_id"]) <= set(table["response_id"])
            assert set(table["response_id"]) | set(held["response_id"]) == sent - erased
            assert waiting(town) == []
