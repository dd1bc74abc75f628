"""Shares of optional items leave as unions of parts that hold enough people, and never on a map."""

from __future__ import annotations

import itertools
import json

import geopandas
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from analytics.answer_shares import COLUMNS, Atom, as_csv, as_text, atoms_of, columns_of, rows_of, shares
from analytics.fitting import answers_to_fit
from analytics.release import enough
from ingest.campaigns import write_campaign
from sensors.answer import ANSWER_COLUMNS, CODES, empty_answers
from sensors.errors import ModelError
from sensors.places import save_place
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city


def forms(n, seed=0, followed=0.6, heard=0.5, at_ease=0.0, pseudonyms=None, districts=("north", "south", "harbour")):
    """Made-up forms: everybody says whether they told, some whom, some of those whether they heard back."""
    generator = np.random.default_rng(seed)
    chance = generator.dirichlet(np.full(len(districts), 0.7))
    of_person = {
        "district": generator.choice(districts, n, p=chance),
        "year": generator.choice(["2024", "2025", "2026"], n, p=[0.2, 0.3, 0.5]),
        "gender": generator.choice(CODES["gender"], n, p=[0.5, 0.4, 0.04, 0.06]),
        "age_band": generator.choice(CODES["age_band"], n, p=[0.2, 0.4, 0.2, 0.1, 0.1]),
        "pseudonym": [f"p{i}" for i in (generator.integers(0, pseudonyms, n) if pseudonyms else range(n))],
    }
    people = pd.DataFrame(of_person).assign(form=range(n))
    told = people.assign(instrument="told-2", category=generator.integers(1, 3, n))
    whom = people[generator.random(n) < followed].assign(instrument="told-whom-7")
    whom["category"] = generator.integers(1, 8, len(whom))
    back = whom[generator.random(len(whom)) < heard].assign(instrument="told-heard-3")
    back["category"] = generator.integers(1, 4, len(back))
    ease = people[generator.random(n) < at_ease].assign(instrument="presence-staff-3")
    ease["category"] = generator.integers(1, 4, len(ease))
    table = pd.concat([told, whom, back, ease], ignore_index=True)
    ids = table["form"].astype(str) + " " + table["instrument"] + f" {seed}"
    return table.assign(response_id=ids, weight=1.0, origin="simulated", campaign="made")


def every_table(table, atoms):
    """All sets of people and their answers that any choice of columns tells."""
    for size in range(len(COLUMNS) + 1):
        for columns in itertools.combinations(COLUMNS, size):
            yield columns, list(rows_of(table, atoms, columns))


def told_sets(table, atoms):
    """The answers behind each row of each table, found by brute force from the atoms."""
    found = set()
    for columns, rows in every_table(table, atoms):
        for row in rows:
            inside = np.ones(len(table), bool)
            for column in columns:
                if row[column] != ["not told apart"]:
                    inside &= table[column].isin(row[column]).to_numpy()
            members = frozenset(
                answer
                for atom in atoms
                if row["question"] in atom.instruments
                and all(set(atom.labels.get(column, ("not told apart",))) & set(row[column]) for column in columns)
                for answer in atom.answers
            )
            of_question = table[table["response_id"].isin(members) & (table["instrument"] == row["question"])]
            assert len(of_question) == row["answers"] and set(of_question.index) <= set(np.flatnonzero(inside))
            found.add(frozenset(of_question["form"]))
    return found


def smallest_secrets(table, sets):
    """The finest pieces of forms that unions and differences of the told sets can cut out."""
    signature = {}
    for form in set().union(*sets) if sets else ():
        signature.setdefault(frozenset(i for i, one in enumerate(sets) if form in one), []).append(form)
    return [table[table["form"].isin(piece)].drop_duplicates("form") for piece in signature.values()]


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 80))])
def test_whatever_is_put_together_or_taken_apart_is_nobody_or_enough_people(seed):
    generator = np.random.default_rng(1000 + seed)
    n = int(generator.integers(5, 400))
    table = forms(n, seed, *generator.uniform(0.05, 0.95, 3), pseudonyms=int(n * generator.uniform(0.3, 1)) + 1)
    atoms = atoms_of(table)
    sets = sorted(told_sets(table, atoms), key=sorted)
    assert all(enough(piece, 10, 0.30) for piece in smallest_secrets(table, sets))
    # And with what is told after more people answered, and one was erased.
    more = pd.concat(
        [table, forms(int(generator.integers(1, 60)), seed + 500).assign(form=lambda t: t["form"] + 10_000)]
    )
    more = more[more["form"] != 0].reset_index(drop=True)
    later = atoms_of(more, atoms)
    both = [*sets, *sorted(told_sets(more, later), key=sorted)]
    whole = pd.concat([table, more]).drop_duplicates("response_id")
    erased = [piece for piece in smallest_secrets(whole, both) if not enough(piece, 10, 0.30)]
    assert all(set(piece["form"]) == {0} for piece in erased)  # only the erasure itself can show


def test_a_survey_of_few_tells_nothing():
    assert atoms_of(forms(9)) == [] and list(rows_of(forms(9), [], ("district",))) == []


def test_a_group_with_one_member_is_told_with_others():
    table = forms(200, followed=0, districts=("north",))
    table["gender"] = ["woman"] * 120 + ["man"] * 79 + ["another"]
    rows = list(rows_of(table, atoms_of(table), ("gender",)))
    assert sum(row["people"] for row in rows) == 200
    assert ["another"] not in [row["gender"] for row in rows]


def test_one_person_with_most_of_the_answers_is_not_told():
    table = forms(40, followed=0).assign(pseudonym=lambda t: ["one"] * 20 + t["pseudonym"].tolist()[20:])
    assert atoms_of(table) == []


def test_shares_add_up_and_are_of_the_weights():
    table = forms(300, followed=0)
    (row,) = rows_of(table, atoms_of(table), ())
    assert row["people"] == row["answers"] == 300 and sum(row["shares"]) in (99, 100, 101)
    assert row["shares"][1] == round(100 * (table["category"] == 2).mean())


def test_a_question_that_nearly_everybody_answered_is_not_told_beside_the_whole():
    table = forms(60, followed=1.0, heard=0.0)
    table = table[~((table["instrument"] == "told-whom-7") & (table["form"] < 3))].reset_index(drop=True)
    table = table.assign(district="north", year="2026", gender="woman", age_band="25-44")
    assert {row["question"] for row in rows_of(table, atoms_of(table), ())} == {"told-2"}


@pytest.fixture
def city(tmp_path):
    """A town of two districts in which 80 people filled in a form, half of them in each."""
    town = make_city(tmp_path / "town")
    halves = [box(WEST, SOUTH, WEST + SIDE / 2, SOUTH + SIDE), box(WEST + SIDE / 2, SOUTH, WEST + SIDE, SOUTH + SIDE)]
    frame = geopandas.GeoDataFrame(
        {"district": [1, 2], "name": ["West", "=East"], "source": "made"}, geometry=halves, crs=CRS
    )
    save_place(town.path, "districts", frame)
    middles = town.places("sections").geometry.interpolate(0.5, normalized=True)
    table = empty_answers().reindex(range(80))
    for name, dtype in ANSWER_COLUMNS.items():
        table[name] = "undisclosed" if dtype == "str" else 1
    west = [one for one in middles if one.x < WEST + SIDE / 2 - 1]
    east = [one for one in middles if one.x > WEST + SIDE / 2 + 1]
    chosen = [(west if i % 2 else east)[i % 5] for i in range(80)]
    table["easting"], table["northing"] = [one.x for one in chosen], [one.y for one in chosen]
    table["time"] = np.datetime64("2026-11-10T20:00", "ms") + np.arange(80) * np.timedelta64(900_000, "ms")
    table["response_id"], table["pseudonym"] = [f"r{i}" for i in range(80)], [f"p{i}" for i in range(80)]
    table["instrument"], table["category"], table["campaign"], table["origin"] = "told-2", 1, "dark", "simulated"
    table.loc[:19, "category"] = 2
    write_campaign(town, "dark", table.astype(ANSWER_COLUMNS))
    return town


def test_a_city_tells_by_district_in_both_languages_and_without_a_formula(city):
    found = shares(city, "telling", ["district"])
    assert (found.told, found.waiting) == (80, 0)
    assert {(*row["district"], row["people"]) for row in found.rows} == {("West", 40), ("=East", 40)}
    assert "non, à personne 75\u202f%" in as_text(found, "fr") and "no, nobody 75 %" in as_text(found)
    assert "'=East" in as_csv(found) and found.to_dict()["by"] == ["district"]
    assert "toute la ville" in as_text(shares(city, "telling"), "fr")


def test_each_construct_is_told_alone_and_all_are_divided_together(city):
    assert shares(city, "presence", ["gender"]).rows == []
    assert shares(city, "telling", ["gender"]).told == 80
    assert len(list(city.shelf("model").glob("*.json"))) == 1


def test_the_same_question_again_tells_the_same(city):
    first = shares(city, "telling", ["district"]).to_dict()
    kept = json.loads((city.shelf("model") / "optional-items-told.json").read_text())
    assert first == shares(city, "telling", ["district"]).to_dict()
    assert kept == json.loads((city.shelf("model") / "optional-items-told.json").read_text())


def test_optional_items_are_in_no_fit_and_so_on_no_map(city):
    table, left_out = answers_to_fit(city, None)
    assert len(table) == 0 and left_out == 80


def test_what_cannot_be_told_is_refused_in_a_sentence(city, tmp_path):
    with pytest.raises(ModelError, match="a feeling is on the map"):
        shares(city, "safety")
    with pytest.raises(ModelError, match="'street' was asked"):
        columns_of(["street"])
    assert columns_of(["group", "district"]) == ("district", "gender", "age_band")
    bare = make_city(tmp_path / "bare")
    with pytest.raises(ModelError, match="no districts"):
        shares(bare, "telling", ["district"])
    assert shares(bare, "presence").rows == []


def test_a_damaged_memory_of_what_was_told_is_refused_and_not_forgotten(city):
    shares(city, "telling")
    (city.shelf("model") / "optional-items-told.json").write_text('{"format": 1}')
    with pytest.raises(ModelError, match="cannot be read"):
        shares(city, "telling")


def test_an_atom_that_erasure_left_without_enough_people_tells_nothing_any_more():
    table = forms(12, followed=0, districts=("north",))
    (atom,) = atoms_of(table)
    left = table[table["form"] > 2].reset_index(drop=True)
    (gone,) = atoms_of(left, [atom])
    assert gone == Atom(atom.labels, frozenset(), frozenset(left["response_id"]))
    assert list(rows_of(left, [gone], ())) == []
