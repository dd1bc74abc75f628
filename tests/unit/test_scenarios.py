"""Laws of the scenarios that are kept: nobody's work is lost, and what is kept is what `noctule plan` reads."""

import tomllib

import numpy as np
import pytest

from analytics.scenario import LAMP_NUMBERS, parse_scenario, read_scenario, scenario_text
from dashboard.scenarios import MOST_CHANGES, Scenarios, StaleError, slug
from sensors.errors import ScenarioError
from tests.synthetic_city import make_city

NOW = np.datetime64("2026-11-20T20:00", "ms")
DIM = {"what": "dim", "lamps": ["lamp-001", "lamp-002"], "level": 0.5, "hours": ["23:00", "05:00"]}
REMOVE = {"what": "remove", "street": "Market Street"}


def later(minutes):
    return NOW + np.timedelta64(minutes, "m")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture
def kept(tmp_path):
    return Scenarios(make_city(tmp_path / "town"))


def test_a_scenario_is_kept_with_its_author_and_read_again(kept):
    made = kept.create("Market Street at half", [DIM], "planner", NOW)
    assert (made.name, made.author, made.revision, made.version) == ("market-street-at-half", "planner", 1, 1)
    assert kept.changes(made.id, 1) == [DIM]
    assert kept.get(made.id) == made


def test_of_two_saves_from_one_revision_the_second_is_refused_and_told_the_first(kept):
    made = kept.create("A", [DIM], "planner", NOW)
    first = kept.save(made.id, 1, "planner", later(1), changes=[DIM, REMOVE])
    with pytest.raises(StaleError) as refused:
        kept.save(made.id, 1, "admin", later(2), changes=[REMOVE])
    assert refused.value.current == first
    assert kept.changes(made.id, first.version) == [DIM, REMOVE]


def test_saves_of_one_author_run_on_in_one_version_for_ten_minutes(kept):
    made = kept.create("A", [], "planner", NOW)
    assert kept.save(made.id, 1, "planner", later(9), changes=[DIM]).version == 1
    assert kept.save(made.id, 2, "planner", later(10), changes=[REMOVE]).version == 2
    assert kept.save(made.id, 3, "admin", later(11), changes=[DIM]).version == 3
    assert [kept.changes(made.id, version) for version in (1, 2, 3)] == [[DIM], [REMOVE], [DIM]]
    assert [version.author for version in kept.versions(made.id)] == ["admin", "planner", "planner"]


def test_a_version_that_was_kept_is_never_written_over(kept):
    made = kept.create("A", [DIM], "planner", NOW)
    kept.keep(made.id, 1)
    assert kept.save(made.id, 1, "planner", later(1), changes=[REMOVE]).version == 2
    assert kept.changes(made.id, 1) == [DIM]


def test_two_scenarios_never_share_a_name_nor_take_that_of_a_plan(kept):
    from tests import synthetic_atlas

    synthetic_atlas.write_plan(kept._city, "brighter-park")
    names = [kept.create(title, [], "planner", NOW).name for title in ("Brighter park", "Brighter park!", "照明")]
    assert names == ["brighter-park-2", "brighter-park-3", "scenario"]


def test_renaming_and_archiving_leave_the_name_and_the_changes(kept):
    made = kept.create("A", [DIM], "planner", NOW)
    saved = kept.save(made.id, 1, "admin", later(1), title="  B \n x ", archived=True)
    assert (saved.title, saved.archived, saved.name, saved.changed_by) == ("B x", True, "a", "admin")
    assert kept.changes(made.id, saved.version) == [DIM]


@pytest.mark.parametrize(
    "changes",
    [
        [{"what": "explode", "lamps": ["lamp-001"]}],
        [{"what": "dim", "lamps": ["nobody"], "level": 0.5}],
        [{"what": "dim", "lamps": ["lamp-001"], "level": 7}],
        [{"what": "dim", "lamps": ["lamp-001"], "level": 10**400}],
        [{"what": "add", "positions": [[10**400, 60]], "lumens": 4000, "watts": 30, "height_m": 5}],
        [{"what": "replace", "lamps": ["lamp-001"], "cct_k": 1e9}],
        [{"what": "add", "positions": [[0.0, 0.0]], "lumens": 4000, "watts": 30, "height_m": 5}],
        [{"what": "remove", "polygon": [[24.9, 60.1]] * 2001}],
        [{"what": ["dim"], "lamps": {}, "level": []}],
        [{"what": "dim", "street": ""}],
        [DIM] * (MOST_CHANGES + 1),
    ],
)
def test_what_noctule_plan_would_refuse_is_not_kept(kept, changes):
    with pytest.raises(ScenarioError):
        kept.create("A", changes, "planner", NOW)
    assert kept.all() == []


@pytest.mark.parametrize("title", ["", "  \n", "x" * 121, "\x00\x07"])
def test_a_scenario_needs_a_title_of_a_sane_length(kept, title):
    with pytest.raises(ScenarioError):
        kept.create(title, [], "planner", NOW)


def test_a_kept_scenario_is_what_noctule_plan_reads(kept, tmp_path):
    changes = [
        DIM,
        REMOVE,
        {"what": "replace", "lamps": ["lamp-003"], "cct_k": 2700, "lumens": 5200.5, "luminaire": "road"},
        {"what": "add", "positions": [[24.9412, 60.1690]], "lumens": 5000, "watts": 42, "height_m": 6},
    ]
    changes[-1]["positions"] = [_inside(kept._city)]
    made = kept.create('A "quoted" \\ title\x7f – été', changes, "planner", NOW)
    file = tmp_path / "any.toml"
    file.write_text(scenario_text(kept.content(made)), "utf-8")
    assert tomllib.loads(file.read_text("utf-8"))["change"] == changes
    read, known = read_scenario(file, kept._city), parse_scenario(kept.content(made), kept._city, "kept")
    assert (read.name, read.title) == (made.name, made.title)
    assert read.after.drop(columns="geometry").equals(known.after.drop(columns="geometry"))
    assert [change.rows.tolist() for change in read.changes] == [change.rows.tolist() for change in known.changes]


def test_every_value_of_a_lamp_goes_through_a_file_and_back(city):
    change = {"what": "replace", "lamps": ["lamp-000"]} | {key: low for key, (low, _) in LAMP_NUMBERS.items()}
    content = {"format": 1, "name": "all", "title": "\t\x1f\x7f\u2028", "change": [change]}
    assert tomllib.loads(scenario_text(content)) == content


def test_a_name_is_one_that_a_folder_can_have():
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("x" * 200) == "x" * 40


def _inside(city):
    longitude, latitude = city.centre_lonlat()
    return [round(longitude, 6), round(latitude, 6)]
