"""Whoever puts together answers to all questions, or takes them from one another, finds nobody or enough people."""

from __future__ import annotations

import itertools
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.release_plan import (
    LADDERS,
    ORDER,
    SIDES_M,
    WINDOWS,
    Plan,
    Told,
    capped,
    direct_statistics,
    plan_of,
    told_statistics,
)
from sensors.answer import CODES
from sensors.errors import ModelError

ZONE = ZoneInfo("Europe/Helsinki")
MONDAY = np.datetime64("2026-11-02", "D")
LATER = np.datetime64("2027-03-01", "D")
COLUMNS = tuple(LADDERS)


def survey(seed: int, n: int = 160, *, weeks: int = 14) -> pd.DataFrame:
    """Answers heaped in place and time by people who answer often or once, of groups that are even or not."""
    generator = np.random.default_rng(seed)
    heaps = generator.integers(1, 6)
    centres = generator.uniform(0, 800, (heaps, 2))
    which = generator.integers(0, heaps, n)
    place = np.clip(centres[which] + generator.normal(0, generator.choice([5.0, 40.0, 120.0]), (n, 2)), 0, 799)
    persons = generator.integers(0, generator.choice([8, 40, 150]), n)
    nights = generator.integers(0, 7 * generator.integers(1, weeks + 1), n)
    if generator.uniform() < 0.5:
        nights[: n // 2] = nights[0]  # a campaign of one night
    table = pd.DataFrame(
        {
            "response_id": [f"r{i}" for i in range(n)],
            "easting": 385_000.0 + place[:, 0],
            "northing": 6_672_000.0 + place[:, 1],
            "time": MONDAY.astype("datetime64[ms]") + (20 * 60 + nights * 24 * 60) * np.timedelta64(60_000, "ms"),
            "pseudonym": [f"p{i}" for i in persons],
            "weight": generator.choice([0.2, 1.0, 1.0, 8.0], n).astype(np.float32),
            "category": generator.integers(1, 5, n),
            "night": MONDAY + nights,
        }
    )
    for column in COLUMNS:
        shares = generator.dirichlet(np.full(len(CODES[column]), generator.choice([0.4, 3.0])))
        of_person = generator.choice(CODES[column], 200, p=shares)
        table[column] = of_person[persons]
    return table


def questions() -> list[dict[str, object]]:
    groups = [choice for size in range(4) for choice in itertools.combinations(COLUMNS, size)]
    return [
        {"by": by, "window": window, "zoom_m": zoom}
        for by, window, zoom in itertools.product(groups, WINDOWS, (*SIDES_M, np.inf))
    ]


def everything_told(answers: pd.DataFrame, plan: Plan, asked: list[dict[str, object]]) -> list[frozenset[str]]:
    """The supports of all rows of some tables; what a row says of itself is true of all its answers."""
    of_atoms = frozenset().union(*(atom.answers for atom in plan.atoms))
    told = answers[answers["response_id"].isin(of_atoms)]
    column = {name: told[name].to_numpy() for name in told}
    teller, found = Told(answers, plan, ZONE), set()
    for question in asked:
        table = teller.statistics(**question).to_dict("records")
        names = ["west", "south", "side_m", "first_night", "nights", *question["by"]]
        numbers = {tuple(str(row[name]) for name in names): row for row in table}
        assert sum(row["answers"] for row in table) == len(told)
        for label, atoms in teller.unions(**question):
            row = numbers[(*map(str, label[:3]), f"{pd.Timestamp(label[3])}", *map(str, label[4:]))]
            who = frozenset().union(*(plan.atoms[atom].answers for atom in atoms))
            here = np.isin(column["response_id"], list(who))
            inside = np.ones(len(told), bool)
            for edge, along in (("west", "easting"), ("south", "northing")):
                inside &= (column[along] >= row[edge]) & (column[along] < row[edge] + row["side_m"])
                inside |= np.isinf(row["side_m"])
            away = (column["night"] - np.datetime64(row["first_night"])) // np.timedelta64(1, "D")
            inside &= (away >= 0) & (away < row["nights"])
            for name in question["by"]:
                if row[name]:
                    inside &= np.isin(column[name], row[name].split(", "))
            assert (inside | ~here).all()
            assert question["by"] or (here | ~inside).all()  # without groups it is everybody there
            assert row["answers"] == len(who)
            assert row["people"] == len(set(column["pseudonym"][here]))
            found.add(who)
    return list(found)


def pieces(supports: list[frozenset[str]]) -> list[frozenset[str]]:
    """What all unions, differences and intersections are made of: answers that lie in the same supports."""
    signature: dict[str, list[int]] = {}
    for number, who in enumerate(supports):
        for one in who:
            signature.setdefault(one, []).append(number)
    found: dict[tuple[int, ...], set[str]] = {}
    for one, numbers in signature.items():
        found.setdefault(tuple(numbers), set()).add(one)
    return [frozenset(piece) for piece in found.values()]


def few(answers: pd.DataFrame, supports: list[frozenset[str]]) -> list[frozenset[str]]:
    """Pieces of fewer than ten people, or with one who has more than 30 % of the weight."""
    known = capped(answers, ZONE)
    weight = dict(zip(known["response_id"], zip(known["pseudonym"], known["weight"], strict=True), strict=True))
    out = []
    for piece in pieces(supports):
        carried: dict[str, float] = {}
        for one in piece:
            person, counts = weight[one]
            carried[person] = carried.get(person, 0.0) + counts
        if len(carried) < 10 or max(carried.values()) > 0.3 * sum(carried.values()) * (1 + 1e-6):
            out.append(piece)
    return out


def some_questions(seed: int, n: int = 10) -> list[dict[str, object]]:
    every = questions()
    return [every[i] for i in np.random.default_rng(seed).choice(len(every), n, replace=False)]


def test_nobody_finds_a_few_people_in_all_tables_of_five_hundred_surveys():
    rich = 0
    for seed in range(500):
        answers = survey(seed)
        plan = plan_of(answers, ZONE, tonight=LATER, order=np.random.default_rng(seed).permutation(ORDER))
        supports = everything_told(answers, plan, some_questions(seed))
        assert few(answers, supports) == [], seed
        rich += len(pieces(supports)) > 1
    assert rich > 250  # most of them tell enough to be attacked


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nobody_finds_a_few_people_in_every_table_that_can_be_asked():
    for seed in range(150):
        answers = survey(seed, 300)
        plan = plan_of(answers, ZONE, tonight=LATER, order=np.random.default_rng(seed).permutation(ORDER))
        assert few(answers, everything_told(answers, plan, questions())) == [], seed


def test_tables_that_hide_their_own_small_cells_only_do_not_withstand_the_same_attack():
    """The attacker is able: what each keeps the rule by itself tells of a few people together."""
    found = 0
    for seed in range(16):
        answers = capped(survey(seed), ZONE)
        answers["row"], answers["column"] = (answers[c] // 200 for c in ("northing", "easting"))
        supports = []
        for by in ((), ("gender",), ("age_band",), ("night",)):
            for _, rows in answers.groupby(["row", "column", *by]):
                weight = rows.groupby("pseudonym")["weight"].sum()
                if len(weight) >= 10 and weight.max() <= 0.3 * weight.sum():
                    supports.append(frozenset(rows["response_id"]))
        found += bool(few(answers, supports))
    assert found > 4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_nobody_finds_a_few_people_in_what_was_told_on_several_days(seed):
    """Answers go on coming, some of them late, and what was told is told again."""
    answers = survey(seed, 240)
    generator = np.random.default_rng(seed)
    arrived = answers["night"].to_numpy() + np.where(generator.uniform(size=240) < 0.2, 20, 0)
    plan, supports = None, []
    for tonight in MONDAY + np.arange(7, 160, 15):
        here = answers[arrived < tonight]
        plan = plan_of(here, ZONE, tonight=tonight, earlier=plan)
        supports += everything_told(here, plan, some_questions(seed, 6))
    assert few(answers, supports) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_what_was_told_stays_as_it_was_told(seed):
    """Without a plan before it too, as long as no answer comes late."""
    answers = survey(seed, 240)
    before: set[frozenset[str]] = set()
    for tonight in MONDAY + np.arange(7, 160, 7):
        told = {atom.answers for atom in plan_of(answers[answers["night"] < tonight], ZONE, tonight=tonight).atoms}
        assert before <= told
        before = told


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_atoms_share_no_answer_and_keep_the_rule(seed):
    answers = survey(seed)
    plan = plan_of(answers, ZONE, tonight=LATER)
    ids = [one for atom in plan.atoms for one in atom.answers]
    assert len(ids) == len(set(ids)) == len(answers) - plan.waiting
    assert few(answers, [atom.answers for atom in plan.atoms]) == []


def crowd(n: int, **columns: object) -> pd.DataFrame:
    """n people who answer once each, at one place, in one night."""
    table = survey(0, 1).loc[[0] * n].reset_index(drop=True)
    number = [str(i) for i in range(n)]
    return table.assign(
        response_id=number, pseudonym=number, weight=1.0, easting=385_025.0, northing=6_672_025.0, **columns
    )


def told(answers: pd.DataFrame, **asked: object) -> pd.DataFrame:
    return told_statistics(answers, plan_of(answers, ZONE, tonight=LATER), ZONE, **asked)


def test_two_groups_at_one_place_are_told_apart_and_together():
    answers = crowd(25, gender=["woman"] * 12 + ["man"] * 13, age_band="25-44", category=[4] * 12 + [1] * 13)
    assert told(answers)[["side_m", "people", "share_safe"]].to_numpy().tolist() == [[50.0, 25, 48]]
    apart = told(answers, by="gender")
    assert apart[["gender", "people", "share_safe"]].to_numpy().tolist() == [["man", 13, 0], ["woman", 12, 100]]
    assert told(answers, by="age_band")["age_band"].tolist() == [""]


def test_a_group_of_nine_hides_in_a_wider_one_or_in_everybody():
    some = crowd(33, gender=["woman"] * 12 + ["man"] * 12 + ["another"] * 9)
    assert told(some, by="gender")["gender"].tolist() == ["man, another, undisclosed", "woman"]
    assert told(crowd(33, gender=["woman"] * 24 + ["man"] * 9), by="gender")["gender"].tolist() == [""]


def test_nights_are_told_apart_where_each_has_enough_people_else_the_week_is():
    nights = MONDAY + np.repeat([0, 1, 8], [12, 12, 12])  # of one block of four weeks
    moment = nights.astype("datetime64[ms]") + np.timedelta64(20, "h")
    answers = crowd(36, night=nights, time=moment, gender="woman", age_band="25-44", role="resident")
    by_night = told(answers, window="night")
    assert by_night[["nights", "people"]].to_numpy().tolist() == [[1, 12], [1, 12], [1, 12]]
    assert told(answers, window="week")["people"].tolist() == [24, 12]
    assert told(answers)["people"].tolist() == [36]
    lonely = answers.drop(index=range(12, 20))  # four in the second night
    assert told(lonely, window="night")[["nights", "people"]].to_numpy().tolist() == [[7, 16], [1, 12]]


def test_the_four_weeks_that_run_are_not_told_and_few_wait_for_more():
    answers = crowd(12)
    monday = np.datetime64("1970-01-05", "D")
    night = plan_of(answers, ZONE, tonight=LATER).atoms[0].box.first  # since that Monday: of one night, the only one
    over = monday + (night // 28 + 1) * 28
    assert plan_of(answers, ZONE, tonight=over - 1).atoms == ()
    assert len(plan_of(answers, ZONE, tonight=over).atoms) == 1
    assert plan_of(answers[:9], ZONE, tonight=LATER).waiting == 9


def test_an_atom_that_erasure_leaves_with_nine_is_taken_back_whole():
    answers = crowd(10)
    plan = plan_of(answers, ZONE, tonight=LATER)
    assert len(plan.atoms) == 1
    assert plan_of(answers[1:], ZONE, tonight=LATER, earlier=plan).atoms == ()


def test_one_person_counts_three_a_night_however_often_and_loudly_they_answer():
    often = pd.concat([crowd(10), crowd(40).assign(pseudonym="0", weight=8.0)], ignore_index=True)
    often["response_id"] = [str(i) for i in range(len(often))]
    weight = capped(often, ZONE).groupby("pseudonym")["weight"].sum()
    assert weight["0"] == pytest.approx(3.0) and weight.drop("0").tolist() == pytest.approx([1.0] * 9)
    assert told(often)["people"].tolist() == [10]  # 3 of 12 is under 30 %


def test_a_code_that_no_class_knows_keeps_its_box_whole():
    answers = crowd(36, gender=["woman"] * 12 + ["man"] * 12 + ["robot"] * 12)
    assert told(answers, by="gender")["gender"].tolist() == [""]


def test_odd_questions_are_refused():
    answers = crowd(12)
    for asked, why in (
        ({"by": "pseudonym"}, "by gender"), ({"by": ("gender", "gender")}, "by gender"),
        ({"window": "hour"}, "by all"), ({"zoom_m": 10.0}, "cells of 400"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=why):
            told(answers, **asked)
    with pytest.raises(ModelError, match="in some order"):
        plan_of(answers, ZONE, tonight=LATER, order=("place", "time"))
    with pytest.raises(ModelError, match="one response_id"):
        plan_of(answers.assign(response_id="same"), ZONE, tonight=LATER)


def test_a_city_without_answers_tells_nothing():
    assert told(survey(0, 1)[:0]).empty


def test_one_call_tells_a_table_that_has_neither_time_nor_ids_nor_groups():
    answers = crowd(24, gender=["woman"] * 12 + ["man"] * 12)
    bare = answers[["easting", "northing", "pseudonym", "weight", "category"]]
    assert direct_statistics(bare)["people"].tolist() == [24]
    assert direct_statistics(bare, by="gender")["gender"].tolist() == [""]
    assert direct_statistics(answers, by="gender", window="night")["people"].tolist() == [12, 12]
    assert direct_statistics(bare[:9]).empty
