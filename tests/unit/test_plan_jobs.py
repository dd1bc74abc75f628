"""Laws of computing scenarios: one at a time, told how far, ended when asked, never left open by a server that went."""

import subprocess
import sys
import time

import numpy as np
import pytest

from dashboard import plan_jobs
from dashboard.plan_jobs import BROKEN, CANCELLED, DONE, FAILED, MOST_WAITING, RUNNING, WAITING, FullError, PlanJobs
from dashboard.scenarios import Scenarios
from sensors.clock import city_clock
from tests.synthetic_city import make_city

NOW = np.datetime64("2026-11-20T20:00", "ms")
DIM = {"what": "dim", "lamps": ["lamp-001"], "level": 0.5}
SLEEPS = 'import time; print(\'{"done": 3, "steps": 40}\', flush=True); time.sleep(60)'
FINISHES = (
    "import pathlib, sys; assert 'lamp-001' in pathlib.Path(sys.argv[2]).read_text(); print('{\"finished\": true}')"
)
REFUSES = 'print(\'{"error": "no model"}\')'
CRASHES = "import sys; print('not JSON'); sys.exit(3)"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    city = make_city(tmp_path / "town")
    scenarios = Scenarios(city)
    kept = scenarios.create("A", [DIM], "planner", NOW)
    made = []

    def jobs(code):
        made.append(PlanJobs(city, city_clock(city.path), scenarios, (sys.executable, "-c", code)))
        return made[-1], kept

    yield jobs
    for one in made:
        for job in one.all():
            one.cancel(job.id)
    until(lambda: all(job.state not in (WAITING, RUNNING) for one in made for job in one.all()))


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(jobs, number):
    return next(job for job in jobs.all() if job.id == number)


@pytest.mark.parametrize(
    ("code", "ends", "message"), [(FINISHES, DONE, ""), (REFUSES, FAILED, "no model"), (CRASHES, FAILED, "")]
)
def test_a_job_ends_as_its_process_says(desk, code, ends, message):
    jobs, kept = desk(code)
    number = jobs.ask(kept, "planner")
    until(lambda: state(jobs, number).state == ends)
    assert state(jobs, number).message == message


def test_one_runs_at_a_time_whichever_worker_took_it_and_each_can_be_cancelled_by_another(desk):
    (one, kept), (other, _) = desk(SLEEPS), desk(SLEEPS)
    first, second = one.ask(kept, "planner"), other.ask(kept, "admin")
    until(lambda: (state(one, first).state, state(one, first).done, state(one, first).steps) == (RUNNING, 3, 40))
    assert state(one, second).state == WAITING
    assert other.cancel(first)
    until(lambda: state(one, first).state == CANCELLED and state(one, second).state == RUNNING)
    assert one.cancel(second) and not one.cancel(999)
    until(lambda: state(one, second).state == CANCELLED)
    assert not one.cancel(second)


def test_no_more_wait_than_may(desk):
    jobs, kept = desk(SLEEPS)
    first = jobs.ask(kept, "planner")
    until(lambda: state(jobs, first).state == RUNNING)
    for _ in range(MOST_WAITING):
        jobs.ask(kept, "planner")
    with pytest.raises(FullError):
        jobs.ask(kept, "planner")


def test_a_job_of_a_server_that_is_gone_is_broken_and_the_next_may_run(desk, monkeypatch):
    jobs, kept = desk(FINISHES)
    with jobs._desk.open() as open_desk:
        open_desk.execute(
            "INSERT INTO plan_job (scenario, version, name, title, author, state, done, steps, asked, ended, message, "
            "beat, cancel) VALUES (1, 1, 'a', 'A', 'planner', 'running', 5, 40, '', '', '', ?, 0)",
            (time.monotonic() - plan_jobs._LOST_S - 1,),
        )
    assert jobs.all()[0].state == BROKEN
    number = jobs.ask(kept, "planner")
    until(lambda: state(jobs, number).state == DONE)


def test_what_is_computed_is_a_version_that_is_never_written_over(desk):
    jobs, kept = desk(FINISHES)
    jobs.ask(kept, "planner")
    saved = jobs._scenarios.save(kept.id, 1, "planner", NOW, changes=[])
    assert saved.version == 2


def test_a_save_while_a_version_is_asked_for_is_computed_or_is_another_version(desk, monkeypatch):
    jobs, kept = desk(FINISHES.replace("lamp-001", "lamp-002"))
    scenarios, keep = jobs._scenarios, Scenarios.keep

    def save_first(self, number, version):
        self.save(number, 1, "planner", NOW, changes=[DIM | {"lamps": ["lamp-002"]}])
        keep(self, number, version)

    monkeypatch.setattr(Scenarios, "keep", save_first)
    number = jobs.ask(kept, "planner")
    until(lambda: state(jobs, number).state == DONE)
    assert scenarios.changes(kept.id, state(jobs, number).version)[0]["lamps"] == ["lamp-002"]


def test_the_process_ends_when_its_server_does(tmp_path):
    code = (
        "import threading, time; from dashboard.plan_run import _end_with_server as end;"
        "threading.Thread(target=end, daemon=True).start(); print('begun', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n" and process.poll() is None
        process.stdin.close()  # as the system does for a server that was killed
        assert process.wait(10) == 1
