import os

from hypothesis import given
from hypothesis import strategies as st

from dashboard import allowance
from dashboard.allowance import Allowance


def test_one_address_may_send_a_burst_and_then_its_rate():
    taken = Allowance(each_per_hour=60, each_burst=5, all_per_minute=1_000)
    assert [taken.admit("192.0.2.1", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert taken.admit("192.0.2.2", 0.0)
    assert not taken.admit("192.0.2.1", 59.0)
    assert taken.admit("192.0.2.1", 60.0)


def test_everybody_together_is_bounded_as_well():
    taken = Allowance(each_per_hour=60, each_burst=5, all_per_minute=30)
    admitted = sum(taken.admit(f"192.0.2.{number}", 0.0) for number in range(200))
    assert admitted == 30
    assert sum(taken.admit(f"198.51.100.{number}", 60.0) for number in range(200)) == 30


def test_an_ipv6_house_is_one_address():
    taken = Allowance(each_per_hour=60, each_burst=2, all_per_minute=1_000)
    assert [taken.admit(f"2001:db8:1:2::{number:x}", 0.0) for number in range(1, 5)] == [True, True, False, False]
    assert taken.admit("2001:db8:1:3::1", 0.0)


def test_no_address_is_kept():
    taken = Allowance(60, 5, 1_000)
    taken.admit("192.0.2.77", 0.0)
    assert "192.0.2.77" not in repr(vars(taken)) and "c000024d" not in repr(vars(taken))


def test_buckets_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(allowance, "MOST_BUCKETS", 50)
    taken = Allowance(each_per_hour=3_600, each_burst=2, all_per_minute=1e5)
    for number in range(500):
        taken.admit(f"10.0.{number // 250}.{number % 250}", 0.0)
    assert len(taken) <= 51
    assert taken.admit("192.0.2.1", 10.0)  # full ones are forgotten


@given(st.text(max_size=300))
def test_whatever_stands_for_an_address_is_counted(address):
    taken = Allowance(60, 2, 100)
    assert [taken.admit(address, 0.0) for _ in range(3)] == [True, True, False]


def test_forked_workers_allow_together_no_more_than_one(tmp_path):
    taken = Allowance(each_per_hour=60, each_burst=40, all_per_minute=1_000)
    workers = []
    for number in range(2):
        if (pid := os.fork()) == 0:
            (tmp_path / str(number)).write_text(str(sum(taken.admit("192.0.2.1", 0.0) for _ in range(40))))
            os._exit(0)
        workers.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
    assert sum(int((tmp_path / str(number)).read_text()) for number in range(2)) == 40
    assert not taken.admit("192.0.2.1", 0.0)
