"""The dashboard's own shelf: what is written together stands together."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard.desk import Desk
from tests.synthetic_city import make_city

NOTES = "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"


@pytest.fixture
def desk(tmp_path):
    return Desk(make_city(tmp_path / "town"), NOTES)


def test_nothing_is_made_before_it_is_opened_and_then_for_its_owner_only(desk):
    assert not desk.path.exists()
    with desk.open() as open_desk:
        open_desk.execute("INSERT INTO note (text) VALUES ('a')")
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    with desk.open() as open_desk:
        assert [row["text"] for row in open_desk.execute("SELECT text FROM note")] == ["a"]


def test_a_change_that_fails_leaves_nothing_behind(desk):
    with pytest.raises(sqlite3.IntegrityError), desk.open() as open_desk:
        open_desk.execute("INSERT INTO note (text) VALUES ('a')")
        open_desk.execute("INSERT INTO note (text) VALUES (NULL)")
    with desk.open() as open_desk:
        assert open_desk.execute("SELECT count(*) FROM note").fetchone()[0] == 0


def test_many_writers_lose_nothing(desk):
    def write(number):
        with desk.open() as open_desk:
            open_desk.execute("INSERT INTO note (text) VALUES (?)", (str(number),))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(64)))
    with desk.open() as open_desk:
        assert open_desk.execute("SELECT count(*) FROM note").fetchone()[0] == 64
