"""Operations: what it finds, what it never shows, and that a broken file is told and breaks nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from dashboard import operations as state_of
from dashboard.desk_tables import desk_tables
from dashboard.operations import OperationsDesk, bare_address, findings
from dashboard.pages import operations as page
from dashboard.pages.context import asked
from dashboard.roles import ROLES
from dashboard.shelf_sizes import ShelfSizes, shelf_sizes
from dashboard.words import LANGUAGES, words
from ingest import refused_recently
from ingest.health import health_path, write_health
from ingest.log import DEAD, GOOD, Log, Message, pack_frame
from ingest.refused_recently import RefusedRecently
from sensors.clock import city_clock, set_clock
from tests.synthetic_city import make_city
from tests.unit.test_about_pages import house_of, text_of
from tests.unit.test_words import BANNED

NOW = np.datetime64("2026-11-20T19:12", "ms")
NOW_MS = int(NOW.astype(np.int64))
WELL = {
    "state": "connected", "broker": "mqtt://127.0.0.1:1883", "since": "2026-11-20T15:00:00.000Z",
    "last_received": "2026-11-20T19:11:58.000Z",
    "counts": {"received": 100, "stored": 90, "refused": 0, "duplicates": 2},
    "refused_by_reason": {}, "devices_online": 3, "holding": False, "waiting": {"messages": 0, "bytes": 0},
    "receiver": "fast", "shard": "0", "shards": 1, "sentence": "connected to 127.0.0.1:1883 (new session)",
}  # fmt: skip
MAPPER = {
    "state": "live", "step": "2026-11-20T19:00:00.000Z", "lag_s": 1.0, "last_render_ms": 12.0,
    "message_to_page_p95_s": 0.5, "readings": 9, "written": "2026-11-20T19:12:00.000Z", "sentence": "x",
}  # fmt: skip


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "town")
    set_clock(made.path, NOW, 1e-6)
    return made


def healthy(city, ingest=None, mapper=None):
    write_health(city, WELL | (ingest or {}))
    path = city.shelf("health", "map.json")
    path.write_text(json.dumps(MAPPER | (mapper or {})), "utf-8")


def codes(city, desk=None):
    told = (desk or OperationsDesk()).state(city, city_clock(city.path), wait=True)
    json.dumps(told, allow_nan=False, default=str)
    return [one["code"] for one in told["findings"] if one["code"] != "silent"]  # nobody has reported in this town


def test_all_is_well_where_nothing_is_found(city):
    healthy(city)
    assert codes(city) == []


@pytest.mark.parametrize(
    ("ingest", "code"),
    [
        ({"state": "stopped", "sentence": "stopped"}, "ingest-stopped"),
        ({"state": "retrying", "holding": True}, "ingest-holding"),
        ({"state": "retrying"}, "ingest-retrying"),
        ({"last_received": "2026-11-20T18:00:00.000Z"}, "ingest-quiet"),
        ({"receiver": "stock: no epoll"}, "receiver"),
        ({"state": 7, "counts": []}, "ingest-unreadable"),
    ],
)
def test_what_ingest_says_is_found(city, ingest, code):
    healthy(city, ingest)
    assert codes(city) == [code]


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '"x"', "{}", '{"state": null}', "\x00" * 40])
def test_a_health_file_that_is_nonsense_is_found_and_breaks_nothing(city, content):
    healthy(city)
    health_path(city).write_text(content, "utf-8")
    city.shelf("health", "map.json").write_text(content, "utf-8")
    found = codes(city)
    assert found and all(code.startswith(("ingest-", "mapper-")) for code in found)
    assert len(text_of(page.layout(house_of(city), asked("/operations", "?lang=fr", "admin")))) > 200


def test_an_ingest_that_was_killed_is_told_from_one_that_stopped(city):
    healthy(city)
    os.utime(health_path(city), (time.time() - 60, time.time() - 60))
    assert codes(city) == ["ingest-stuck"]


@pytest.mark.parametrize(
    ("mapper", "code"),
    [
        ({"state": "stopped"}, "mapper-stopped"),
        ({"state": "trouble"}, "mapper-trouble"),
        ({"state": "no-model"}, "mapper-no-model"),
        ({"lag_s": 301.0}, "mapper-lag"),
    ],
)
def test_what_the_mapper_says_is_found(city, mapper, code):
    healthy(city, mapper=mapper)
    assert codes(city) == [code]


def test_a_mapper_that_fell_silent_is_found(city):
    healthy(city)
    path = city.shelf("health", "map.json")
    os.utime(path, (time.time() - 60, time.time() - 60))
    assert codes(city) == ["mapper-stuck"]
    path.unlink()
    assert codes(city) == ["mapper-never"]


def test_a_city_where_nothing_ever_ran_says_so(city):
    assert codes(city) == ["ingest-never", "mapper-never"]


def test_the_gravest_comes_first(city):
    healthy(city, {"last_received": "2026-11-20T18:00:00.000Z"}, {"state": "stopped"})
    assert codes(city) == ["mapper-stopped", "ingest-quiet"]


def test_too_little_room_is_what_the_doctor_calls_too_little():
    assert ShelfSizes(free=2 * 1024**3 - 1, whole=10**9).low
    assert ShelfSizes(free=4 * 10**10, whole=10**12).low
    assert not ShelfSizes(free=6 * 10**10, whole=10**12).low


def test_shelves_are_measured_by_what_they_take(city):
    folder = city.shelf("readings", "night=2026-11-19")
    folder.mkdir(parents=True)
    (folder / "1.parquet").write_bytes(b"x" * 100_000)
    tail = city.shelf("log", "0", "tail")
    tail.mkdir(parents=True)
    (tail / "a").write_bytes(b"x" * 10_000)
    sizes = shelf_sizes(city)
    assert 100_000 <= sizes.shelves["readings"] <= 110_000 and sizes.night == sizes.shelves["readings"]
    assert 10_000 <= sizes.shelves["tail"] <= 14_000 and sizes.shelves["log"] == 0


def _log(city, *letters):
    log = Log.open(city.shelf("log", "0"))
    log.append([pack_frame(DEAD, [Message(*one)]) for one in letters])
    log.append([pack_frame(GOOD, [Message("t", b"{}", NOW_MS, "")])])
    log.close()


def letter(minutes, reason="unknown device 'lamp-9'", payload=b"secret payload"):
    return ("noctule/smalltown/x/light", payload, NOW_MS - minutes * 60_000, reason)


def test_refused_messages_are_counted_by_hour_and_day_and_read_on_once(city):
    _log(city, letter(5), letter(50), letter(90), letter(2000), letter(1, "record 3 names 'lx'"))
    counter = RefusedRecently(city)
    first = counter.look(NOW)
    assert {one.kind: (one.hour, one.day) for one in first} == {
        "unknown device '…'": (2, 3),
        "record # names '…'": (1, 1),
    }
    assert first[0].newest == "2026-11-20T19:07:00.000Z"
    assert counter.look(NOW) == first
    _log(city, letter(2))
    assert counter.look(NOW)[0].hour == 3
    later = NOW + np.timedelta64(2, "h")
    assert [one.hour for one in counter.look(later)] == [0, 0]


def test_a_flood_of_reasons_becomes_one_more_kind_and_no_more(city):
    _log(city, *(letter(1, f"reason {chr(97 + n // 26)}{chr(97 + n % 26)} of its own") for n in range(80)))
    found = RefusedRecently(city).look(NOW)
    assert len(found) == 51 and sum(one.hour for one in found) == 80


def test_kinds_of_days_ago_leave_room_for_new_ones(city):
    counter = RefusedRecently(city)
    _log(city, *(letter(1, f"reason {chr(97 + n // 26)}{chr(97 + n % 26)} of its own") for n in range(50)))
    assert len(counter.look(NOW)) == 50
    later = NOW + np.timedelta64(3, "D")
    assert counter.look(later) == []
    _log(city, letter(-3 * 1440 + 1, "another reason"))
    assert [one.kind for one in counter.look(later)] == ["another reason"]


def test_of_a_long_log_every_shard_is_read_and_what_was_too_much_stays_unread(city, monkeypatch):
    for shard in ("0", "1"):
        for reason in ("an older reason", "a newer reason"):
            log = Log.open(city.shelf("log", shard), segment_bytes=1)  # a segment for each
            log.append([pack_frame(DEAD, [Message(*letter(5, reason))])])
            log.close()
    monkeypatch.setattr(refused_recently, "MOST_BYTES", 2)
    counter = RefusedRecently(city)
    for _ in range(3):
        assert [(one.kind, one.hour) for one in counter.look(NOW)] == [("a newer reason", 2)]
        assert not counter.whole
    for shard in ("0", "1"):
        min(city.shelf("log", shard).glob("*.seg")).unlink()
    counter.look(NOW)
    assert counter.whole


def test_neither_page_nor_json_shows_what_a_refused_message_held(city):
    healthy(city)
    _log(city, letter(5, "the device says '<script>alert(1)</script>'", b"secret payload"))
    house = house_of(city)
    told = house.operations.state(city, house.clock, wait=True)
    text = text_of(page.layout(house, asked("/operations", "?lang=en", "admin")))
    for said in (json.dumps(told, default=str), text):
        assert "the device says '…'" in said.replace("\\u2026", "…")
        assert "secret" not in said and "script" not in said


def test_an_address_is_told_without_account_path_and_query():
    assert bare_address("mqtts://u:p@[::1]:8883/a?b=c#d") == "mqtts://[::1]:8883"
    assert bare_address("mqtt://host") == "mqtt://host"
    assert [bare_address(odd) for odd in ("", "nonsense", "mqtt://h:99999999", "mqtt://[")] == ["?"] * 4


def test_rates_begin_with_the_second_look_and_anew_with_a_new_ingest(city, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(state_of.time, "monotonic", lambda: now[0])
    desk = OperationsDesk()
    assert desk._rates({"received": 100, "stored": 90}) == {}
    now[0] += 10
    assert desk._rates({"received": 150, "stored": 110}) == {"received": 5.0, "stored": 2.0, "refused": 0.0}
    now[0] += 10
    assert desk._rates({"received": 3, "stored": 0}) == {}


def test_a_desk_is_read_without_what_lets_somebody_in_and_never_written(city):
    assert desk_tables(city)["there"] is False and not city.shelf("desk.sqlite").exists()
    connection = sqlite3.connect(city.shelf("desk.sqlite"))
    with connection:
        connection.execute("CREATE TABLE plan_job (id INTEGER PRIMARY KEY, title TEXT, state TEXT)")
        connection.execute(
            "CREATE TABLE audit (id INTEGER PRIMARY KEY, time TEXT, who TEXT, what TEXT, session_digest TEXT)"
        )
        connection.executemany(
            "INSERT INTO plan_job (title, state) VALUES (?, ?)", [("a", "done"), ("b", "done"), ("c", "failed")]
        )
        connection.executemany("INSERT INTO audit (time, who, what, session_digest) VALUES (?, ?, ?, ?)",
                               [(f"t{n}", "mia", "export", "SECRET") for n in range(30)])  # fmt: skip
    connection.close()
    told = desk_tables(city)
    assert told["jobs"] == {"done": 2, "failed": 1} and told["last_jobs"][0] == {"title": "c", "state": "failed"}
    assert len(told["audit"]) == 20 and told["audit"][0]["time"] == "t29"
    assert "SECRET" not in json.dumps(told)
    city.shelf("desk.sqlite").write_bytes(b"no database at all, by any means")
    assert desk_tables(city)["unread"]
    healthy(city)
    assert codes(city) == ["desk-unread"]


@pytest.mark.parametrize("role", ROLES)
def test_only_admins_see_operations(city, role):
    healthy(city)
    text = text_of(page.layout(house_of(city), asked("/operations", "?lang=en", role)))
    assert ("Refused messages" in text) == (role == "admin")
    assert ("/operations.json" in text) == (role == "admin")


def _every_finding():
    source = Path(state_of.__file__).read_text("utf-8")
    whole = set(re.findall(r'Finding\("([a-z-]+)"', source))
    parts = {
        "ingest": ("unreadable", "never", "stuck", "stopped"),
        "mapper": ("never", "unreadable", "stopped", "trouble", "no-model"),
    }
    return sorted(whole | {f"{name}-{state}" for name, states in parts.items() for state in states})


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_has_its_two_sentences_and_a_line_in_the_document(language):
    from tests.shared_data import ROOT

    document = (ROOT / "docs" / "operations.md").read_text("utf-8")
    values = {"count": "1", "of": "2", "seconds": "3", "bytes": "4", "what": "5", "day": "6"}
    for code in _every_finding():
        assert words(language)(f"finding.{code}", **values) and words(language)(f"finding.{code}.do")
        assert f"`{code}`" in document, code


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_banned_word_stands_on_it_when_everything_is_wrong(city, language):
    healthy(city, {"state": "retrying", "holding": True}, {"state": "trouble"})
    _log(city, letter(5))
    house = house_of(city)
    house.operations.state(city, house.clock, wait=True)
    text = text_of(page.layout(house, asked("/operations", f"?lang={language}", "admin")))
    assert not re.findall(BANNED[language], text, re.IGNORECASE)


def test_findings_need_no_measurement_that_is_still_running(city):
    told = OperationsDesk().state(city, city_clock(city.path))
    assert [one.code for one in findings(told, city, NOW)][:2] == ["ingest-never", "mapper-never"]
