from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from analytics.orienteering import best_walk, shortened, walk_length


def town(seed, n=8):
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 1000, (n, 2))
    way = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) * 1.2
    return way, generator.uniform(1, 10, n), np.ones((n, n), bool)


def additive(prize):
    return lambda places: float(sum(prize[place] for place in places))


def every_walk(way, worth, longest, most, first, last, loop, together):
    """The most that any walk is worth, by looking at them all."""
    others = [place for place in range(len(way)) if place not in (first, last)]
    best = -1.0
    for size in range(most):
        for chosen in combinations(others, size):
            places = [first, *chosen] + ([last] if last is not None else [])
            if len(places) > most or not together[np.ix_(places, places)].all():
                continue
            value = worth(tuple(sorted(places)))
            if value > best and any(
                walk_length([first, *order] + ([last] if last is not None else []), way, loop) <= longest
                for order in permutations(chosen)
            ):
                best = value
    return best


@pytest.mark.parametrize(("loop", "end"), [(True, None), (False, None), (False, 7)])
def test_the_walk_is_worth_nearly_what_the_best_of_all_walks_is(loop, end):
    shares = []
    for seed in range(12):
        way, prize, together = town(seed)
        options = {"longest_m": 2200.0, "most": 6, "together": together, "first": 0, "last": end, "loop": loop}
        walk = best_walk(way, additive(prize), **options)
        assert walk[0] == 0 and (end is None or walk[-1] == end)
        assert len(set(walk)) == len(walk) <= 6
        assert walk_length(walk, way, loop) <= 2200.0 or len(walk) <= 2
        best = every_walk(way, additive(prize), 2200.0, 6, 0, end, loop, together)
        if best > 0:
            shares.append(additive(prize)(walk) / best)
    assert len(shares) >= 10
    assert np.mean(shares) >= 0.97 and min(shares) >= 0.85


def test_an_order_of_seven_places_is_the_shortest_there_is_in_most_towns():
    exact = 0
    for seed in range(10):
        way, _, _ = town(seed, 7)
        found = walk_length(shortened(range(7), way, True), way, True)
        best = min(walk_length([0, *order], way, True) for order in permutations(range(1, 7)))
        assert found <= best * 1.05
        exact += found <= best * (1 + 1e-9)
    assert exact >= 8


def test_a_walk_keeps_to_its_length_and_to_what_may_be_together():
    way, prize, together = town(3)
    together[1, 2] = together[2, 1] = False
    prize[1] = prize[2] = 100.0
    walk = best_walk(way, additive(prize), longest_m=3000.0, most=8, together=together, first=0, last=None, loop=True)
    assert walk_length(walk, way, True) <= 3000.0
    assert not {1, 2} <= set(walk)
    assert {1, 2} & set(walk)


def test_a_longer_walk_is_worth_no_less():
    way, prize, together = town(5)
    worth = [
        additive(prize)(best_walk(way, additive(prize), longest_m=length, most=8, together=together, first=0))
        for length in (500.0, 1500.0, 2500.0, 9000.0)
    ]
    assert worth == sorted(worth)
    assert worth[-1] == pytest.approx(prize.sum())


def test_a_place_to_which_no_way_leads_is_left_out():
    way, prize, together = town(2)
    way[4, :] = way[:, 4] = np.inf
    walk = best_walk(way, additive(prize), longest_m=9000.0, most=8, together=together, first=0)
    assert sorted(walk) == [0, 1, 2, 3, 5, 6, 7]


def test_where_a_second_place_tells_nothing_new_the_walk_goes_elsewhere():
    way, prize, together = town(1)
    twins = {1, 2, 3}

    def worth(places):
        held = [prize[place] for place in places if place in twins]
        return float(sum(prize[place] for place in places if place not in twins) + max(held, default=0.0))

    walk = best_walk(way, worth, longest_m=9000.0, most=6, together=together, first=0)
    assert len(twins & set(walk)) == 1
