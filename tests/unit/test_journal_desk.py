"""Journal entries by form: who may write, what is understood, and that they stand in the journal as they were meant."""

import asyncio
import json
from zoneinfo import ZoneInfo

import pytest

from dashboard.app import build
from dashboard.audit import AUDIT, trail
from dashboard.desk import Desk
from dashboard.journal_desk import WrongEntryError, entry_of
from dashboard.push import Push
from dashboard.runs import Runs
from dashboard.scene import journal_marks
from dashboard.words import words
from sensors.clock import city_clock
from sensors.journal import journal_csv, read_journal
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.unit.test_app import ask

ZONE = ZoneInfo("Europe/Helsinki")
MARKET = {
    "kind": "event", "title": "Night market", "start": "2026-11-20T21:00", "end": "2026-11-21T01:30",
    "place": "24.94,60.17", "owner": "Events", "status": "open", "due": "2026-12-01",
}  # fmt: skip


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "smalltown")


@pytest.fixture
def app(city):
    return build(city.path, switch=True, warm=False)


def send(app, content, role="viewer", headers=()):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, _, answer = ask(app, "/journal", method="POST", body=body, role=role, headers=headers)
    return status, json.loads(answer) if answer else {}


def test_an_entry_stands_in_the_journal_in_the_city_s_time_and_on_the_bar(app, city):
    status, told = send(app, MARKET | {"lang": "en"})
    assert status == 200 and told["said"] == "In the journal: Night market"
    row = read_journal(city).iloc[0]
    assert (row["start"], row["end"], row["due"]) == (
        "2026-11-20T19:00:00.000Z", "2026-11-20T23:30:00.000Z", "2026-12-01T21:59:00.000Z",
    )  # fmt: skip
    steps = Night.named("2026-11-20", city.zone).steps()
    assert [mark["text"] for mark in journal_marks(city, steps, words("en"))] == ["21:00 · event: Night market"]


def test_who_wrote_an_entry_stands_in_the_trail(app, city):
    send(app, MARKET, role="planner")
    desk = Desk(city, *AUDIT)
    assert [(line["what"], line["detail"], line["role"]) for line in trail(desk)] == [("journal", "entry 1", "planner")]


def test_the_same_entry_stands_once(app, city):
    send(app, MARKET)
    status, told = send(app, MARKET)
    assert status == 400 and "already" in told["error"] and len(read_journal(city)) == 1


@pytest.mark.parametrize(("role", "status"), [("public", 403), ("partner", 403), ("researcher", 403), ("planner", 200)])
def test_only_who_keeps_the_journal_writes_in_it(app, city, role, status):
    assert send(app, MARKET, role)[0] == status
    assert len(read_journal(city)) == (status == 200)


def test_another_site_cannot_write(app, city):
    assert send(app, MARKET, headers=((b"sec-fetch-site", b"cross-site"),))[0] == 403
    assert len(read_journal(city)) == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "crime"}, "kind"),
        ({"status": ""}, "status"),
        ({"title": " "}, "title"),
        ({"title": "x" * 121}, "title"),
        ({"title": "bell\x07"}, "title"),
        ({"title": ["x"]}, "title"),
        ({"start": ""}, "start"),
        ({"start": "yesterday"}, "start"),
        ({"start": "9999-01-01T00:00"}, "start"),
        ({"start": "2026-02-30T00:00"}, "start"),
        ({"end": "2026-11-20T20:59"}, "end"),
        ({"due": "2026-13-01"}, "due"),
        ({"due": "soon"}, "due"),
        ({"place": "x" * 81}, "place"),
    ],
)
def test_what_is_wrong_names_its_field_and_writes_nothing(app, city, change, field):
    status, told = send(app, MARKET | change)
    assert status == 400 and told["field"] == field and told["error"]
    assert len(read_journal(city)) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"x" * 9000, b"[" * 4000])
def test_nonsense_is_refused(app, body):
    assert send(app, body)[0] == 400


def test_script_and_formulas_are_text(app, city):
    send(app, MARKET | {"title": "=HYPERLINK(1) <script>alert(1)</script>"})
    assert read_journal(city).iloc[0]["title"] == "=HYPERLINK(1) <script>alert(1)</script>"
    assert ",'=HYPERLINK" in journal_csv(city)


def test_the_hour_that_summer_time_repeats_is_its_first():
    entry = entry_of(MARKET | {"start": "2026-10-25T03:30", "end": ""}, ZONE)
    assert entry.start == "2026-10-25T00:30:00.000Z"
    with pytest.raises(WrongEntryError):
        entry_of(MARKET | {"start": "2026-10-25T03:30Z"}, ZONE)


def test_everyone_who_looks_at_tonight_hears_of_a_new_entry(app, city):
    async def listen():
        push = Push(Runs(city), city_clock(city.path))
        push._changes(slow=True)
        await asyncio.to_thread(send, app, MARKET)
        return [event["layer"] for event in push._changes(slow=True)]

    assert "journal" in asyncio.run(listen())
