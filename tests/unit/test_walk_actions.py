from __future__ import annotations

import pytest

from analytics.walk_actions import actions_in_journal, into_journal, read_actions
from analytics.walk_route import route_of
from sensors.errors import WalkError
from sensors.journal import read_journal
from tests.synthetic_city import make_city
from tests.walkers import walked


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_an_action_that_was_done_since_is_not_opened_again(city, tmp_path):
    walk = walked(city)
    route = route_of(city, walk)
    file = tmp_path / "actions.csv"
    agreed = "=Mend the lamp,Lighting,2027-01-31,2\nKeep it,Parks,2027-02-01,\n"
    file.write_text(f"title,owner,due,stop\n{agreed}", "utf-8")
    actions = read_actions(file, city, walk, route)
    assert into_journal(city, walk, route, actions) == (3, 0)
    journal = city.path / "journal" / "journal.csv"
    journal.write_text(journal.read_text("utf-8").replace(",open,", ",done,"), "utf-8")
    assert into_journal(city, walk, route, actions) == (0, 3)
    standing = actions_in_journal(city, walk, route)
    assert [(one.title, one.owner, one.status) for one in standing] == [
        ("=Mend the lamp", "Lighting", "done"), ("Keep it", "Parks", "done"),
    ]  # fmt: skip
    assert standing[0].place == "walk-autumn, stop 2: Stop at 1"
    assert standing[0].due.startswith("2027-01-31T23:59")
    assert len(read_journal(city)) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title,owner\nx,y\n", "lacks the columns due, stop"),
        ("title,owner,due,stop\n,Parks,2027-01-01,\n", "title is empty"),
        ("title,owner,due,stop\nx,,2027-01-01,\n", "owner is empty"),
        ("title,owner,due,stop\nx,y,soon,\n", "due 'soon' must be a day"),
        ("title,owner,due,stop\nx,y,2027-01-01,9\n", "stop '9' is none of the walk's"),
        ("title,owner,due,stop\nx,y,2027-01-01,1\n" * 1, ""),
        ("title,owner,due,stop\n" + "x" * 300 + ",y,2027-01-01,\n", "at most 200 characters"),
        ("title,owner,due,stop,kind\nx,y,2027-01-01,,party\n", "kind 'party'"),
        ("title,owner,due,stop\n" + "x,y,2027-01-01,\n" * 201, "at most 200 actions"),
        ('title,owner,due,stop\n"x', "cannot be read"),
    ],
)
def test_actions_that_cannot_be_are_refused_with_their_line(city, tmp_path, text, says):
    walk = walked(city)
    file = tmp_path / "actions.csv"
    file.write_text(text, "utf-8")
    if not says:
        assert len(read_actions(file, city, walk, route_of(city, walk))) == 1
        return
    with pytest.raises(WalkError, match=says):
        read_actions(file, city, walk, route_of(city, walk))
