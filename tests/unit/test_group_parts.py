"""Groups of people that are told: whoever adds and subtracts them finds nobody or enough people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.group_parts import COLUMNS, groups_of
from sensors.answer import CODES


def people(seed: int, n: int, skew: float, twice: float = 0.2) -> pd.DataFrame:
    """Answers of n people whose codes are spread evenly or not; some answer again, and may say another role then."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame({"pseudonym": [f"p{i}" for i in range(n)]})
    for column in COLUMNS:
        codes = CODES[column]
        table[column] = generator.choice(codes, n, p=generator.dirichlet(np.full(len(codes), skew)))
    again = table[generator.uniform(size=n) < twice].copy()
    again["role"] = generator.choice(CODES["role"], len(again))
    table = pd.concat([table, again], ignore_index=True)
    table["weight"] = generator.choice([0.2, 1.0], len(table))
    return table


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.sampled_from([0.3, 1.0, 5.0]))
def test_every_sum_and_difference_of_groups_is_nobody_or_enough_people(seed, n, skew):
    table = people(seed, n, skew)
    found = groups_of(table)
    supports = [set(np.flatnonzero(group.members)) for group in found.groups]
    # What unions and differences can make is what answers that lie in the same groups have in common.
    by_groups: dict[tuple[bool, ...], list[int]] = {}
    for row in range(len(table)):
        by_groups.setdefault(tuple(row in support for support in supports), []).append(row)
    if not found.groups:
        return
    for rows in by_groups.values():
        weight = table.iloc[rows].groupby("pseudonym")["weight"].sum()
        assert len(weight) >= 10
        assert weight.max() <= 0.3 * weight.sum() + 1e-9


def test_everybody_is_first_and_in_one_part_each():
    table = people(1, 300, 5.0)
    found = groups_of(table)
    assert found.groups[0].level == 0 and found.groups[0].members.all()
    assert len(found.part) == len(table)
    genders = [group for group in found.groups if set(group.classes) == {"gender"}]
    assert sum(group.members for group in genders).tolist() == [1] * len(table)


def test_a_group_is_what_it_is_called():
    table = people(2, 900, 5.0)
    found = groups_of(table)
    assert max(group.level for group in found.groups) == 3
    for group in found.groups:
        for column, klass in group.classes.items():
            codes = set(table[column][group.members])
            assert codes <= set(klass) | set(found.few.get(column, ()))


def test_small_towns_lose_crossings_before_they_lose_groups():
    found = groups_of(people(3, 120, 5.0, twice=0.0))
    assert any(set(group.classes) == {"gender"} for group in found.groups)
    assert {column for group in found.groups for column in group.classes} >= {"gender", "age_band"}
    assert len(found.groups) < len(groups_of(people(3, 900, 5.0, twice=0.0)).groups)
    assert found.unsaid


def test_who_is_missing_is_named_once_by_the_widest_group():
    table = people(4, 300, 5.0)
    table = table[(table["age_band"] != "65+") & ~((table["gender"] == "another") & (table["role"] == "worker"))]
    missing = groups_of(table).missing
    assert {"age_band": "65+"} in missing
    assert {"gender": "another", "role": "worker"} in missing
    assert not [one for one in missing if one.get("age_band") == "65+" and len(one) > 1]


def test_few_people_of_a_code_go_with_the_largest_and_are_named():
    table = people(5, 300, 5.0, twice=0.0)
    table["gender"] = np.where(
        np.arange(len(table)) < 4, "another", np.where(np.arange(len(table)) % 3, "woman", "man")
    )
    found = groups_of(table)
    assert found.few["gender"] == ("another",)
    women = next(group for group in found.groups if group.classes == {"gender": ("woman",)})
    assert (table["gender"][women.members] == "another").sum() == 4
    assert {"gender": "another"} in found.unsaid


def test_small_codes_that_are_enough_together_are_told_together():
    table = people(5, 300, 5.0, twice=0.0)
    number = np.arange(len(table))
    table["gender"] = np.select([number < 7, number < 14, number % 3 > 0], ["another", "undisclosed", "woman"], "man")
    table["weight"] = 1.0
    found = groups_of(table)
    both = next(group for group in found.groups if group.classes == {"gender": ("another", "undisclosed")})
    assert both.members.sum() == 14 and "gender" not in found.few
    women = next(group for group in found.groups if group.classes == {"gender": ("woman",)})
    assert set(table["gender"][women.members]) == {"woman"}


@pytest.mark.parametrize("n", [0, 9])
def test_nine_people_are_not_told_at_all(n):
    found = groups_of(people(6, n, 5.0, twice=0.0))
    assert found.groups == []
