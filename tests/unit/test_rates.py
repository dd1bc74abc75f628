"""Nobody sends more than their rate, nobody else pays for it, and who was only waiting for us is let through."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.rates import Rates


def rates(*names: str, per_second: float = 20.0, burst: float = 100.0) -> Rates:
    made = Rates(per_second, burst, now_s=0.0)
    for name in names:
        made.number(name)
    return made


def admitted(limiter: Rates, number: int, messages: int, now_s: float, speed: float = 1.0) -> int:
    return int(limiter.admit(np.full(messages, number), now_s, speed).sum())


def test_a_burst_is_let_through_and_then_the_rate():
    limiter = rates("a")
    assert admitted(limiter, 0, 1000, 0.0) == 100
    assert admitted(limiter, 0, 1000, 1.0) == 20
    assert admitted(limiter, 0, 1000, 3.5) == 50


def test_a_flood_of_one_takes_nothing_from_another():
    limiter = rates("flood", "quiet")
    mixed = np.array([0] * 5000 + [1] * 10 + [0] * 5000)
    passed = limiter.admit(mixed, 0.0)
    assert passed[mixed == 1].all()
    assert int(passed.sum()) == 110


def test_the_first_are_kept_and_the_later_are_refused():
    assert rates("a", burst=3).admit(np.zeros(5, int), 0.0).tolist() == [True] * 3 + [False] * 2


def test_a_bucket_never_holds_more_than_its_burst():
    limiter = rates("a")
    assert admitted(limiter, 0, 1000, 86_400.0) == 100


def test_a_clock_that_runs_sixty_times_as_fast_lets_sixty_times_as_much_through():
    limiter = rates("a")
    assert admitted(limiter, 0, 100_000, 0.0, speed=60.0) == 6000
    assert admitted(limiter, 0, 100_000, 1.0, speed=60.0) == 1200


def test_what_queued_up_while_we_were_away_is_let_through_once():
    limiter = rates("a")
    assert admitted(limiter, 0, 1000, 0.0) == 100
    limiter.away(3600.0)
    limiter.number("b")
    assert admitted(limiter, 0, 100_000, 0.0) == 72_000
    assert admitted(limiter, 1, 100_000, 0.0) == 72_100  # one that had sent nothing before
    assert admitted(limiter, 0, 100_000, 10.0) == 200


def test_many_identities_find_room():
    limiter = rates(*(f"device-{number}" for number in range(1000)))
    assert limiter.admit(np.arange(1000), 0.0).all()
    assert len(limiter) == 1000


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 5)), min_size=1, max_size=60))
def test_however_messages_are_grouped_no_identity_exceeds_burst_and_rate(arrivals):
    limiter = rates("a", "b", "c", "d", per_second=2.0, burst=5.0)
    now = 0.0
    passed = np.zeros(4)
    for identity, pause in arrivals:
        now += pause
        passed[identity] += limiter.admit(np.array([identity]), now).sum()
        assert (passed <= 5.0 + 2.0 * now + 1e-6).all()
