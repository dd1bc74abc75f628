"""Computing scenarios as jobs: one at a time for a city, in a process of its own, with progress on the desk.

A job is a row that every web worker can read, so it outlives a reload and is told to every planner. The worker that
took it keeps its row fresh; a row that nobody keeps fresh is one of a server that is gone, and is marked as broken by
whoever looks next.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analytics.scenario import scenario_text
from dashboard.desk import Desk
from dashboard.scenarios import Kept, Scenarios
from sensors.city import City
from sensors.clock import Clock
from sensors.night import rfc3339

TABLES = (
    "CREATE TABLE IF NOT EXISTS plan_job (id INTEGER PRIMARY KEY, scenario INTEGER NOT NULL, version INTEGER NOT NULL, "
    "name TEXT NOT NULL, title TEXT NOT NULL, author TEXT NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL, "
    "steps INTEGER NOT NULL, asked TEXT NOT NULL, ended TEXT NOT NULL, message TEXT NOT NULL, beat REAL NOT NULL, "
    "cancel INTEGER NOT NULL)",
)
WAITING, RUNNING, DONE, FAILED, CANCELLED, BROKEN = "waiting", "running", "done", "failed", "cancelled", "broken"
OPEN = (WAITING, RUNNING)
MOST_WAITING = 5
KEPT = 20  # that are listed
RUNNER = (sys.executable, "-m", "dashboard.plan_run")
LONGEST_S = 3_600.0  # of one job; a city's takes a minute
_LOST_S = 15.0  # without a beat; a worker that is busy for so long is none
_LOOK_S = 0.25
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}

_log = logging.getLogger("noctule.dashboard")


class FullError(Exception):
    """As many jobs wait as may."""


@dataclass(frozen=True)
class Job:
    """One computation of a version of a scenario."""

    id: int
    scenario: int
    version: int
    name: str
    title: str
    author: str
    state: str
    done: int
    steps: int
    asked: str
    ended: str
    message: str


class PlanJobs:
    """The jobs of a city."""

    def __init__(self, city: City, clock: Clock, scenarios: Scenarios, runner: Sequence[str] = RUNNER) -> None:
        """`runner` is the command that computes; it is given the city and a scenario file."""
        self._city, self._clock, self._scenarios, self._runner = city, clock, scenarios, tuple(runner)
        self._desk = Desk(city, *TABLES)

    def all(self) -> list[Job]:
        """The last ones, newest first."""
        with self._desk.open() as desk:
            self._mark_lost(desk)
            rows = desk.execute("SELECT * FROM plan_job ORDER BY id DESC LIMIT ?", (KEPT,)).fetchall()
        return [Job(**{name: row[name] for name in Job.__dataclass_fields__}) for row in rows]

    def ask(self, kept: Kept, author: str) -> int:
        """Have the newest version of a scenario computed; FullError where too many wait."""
        with self._desk.open() as desk:
            desk.execute("BEGIN IMMEDIATE")
            self._mark_lost(desk)
            waiting = desk.execute("SELECT COUNT(*) FROM plan_job WHERE state = ?", (WAITING,)).fetchone()[0]
            if waiting >= MOST_WAITING:
                raise FullError
            made = desk.execute(
                "INSERT INTO plan_job (scenario, version, name, title, author, state, done, steps, asked, ended, "
                "message, beat, cancel) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, '', '', ?, 0)",
                (kept.id, kept.version, kept.name, kept.title, author, WAITING, self._now(), time.monotonic()),
            )
            number = int(made.lastrowid or 0)
        # Kept before it is read: a save that comes in between must not change what was computed under this version.
        self._scenarios.keep(kept.id, kept.version)
        content = self._scenarios.content(kept)
        threading.Thread(target=self._work, args=(number, content), name=f"plan-{number}", daemon=True).start()
        return number

    def cancel(self, number: int) -> bool:
        """End a job that waits or runs, whichever worker has it; whether there was one."""
        with self._desk.open() as desk:
            changed = desk.execute(
                "UPDATE plan_job SET cancel = 1 WHERE id = ? AND state IN (?, ?)", (number, *OPEN)
            ).rowcount
        return changed > 0

    def _mark_lost(self, desk: Any) -> None:
        # The monotonic clock is one for all processes of a machine and begins anew when it does.
        now = time.monotonic()
        # Asked first: each page that listens looks twice a second, and an update waits for whoever writes.
        lost = desk.execute(
            "SELECT id FROM plan_job WHERE state IN (?, ?) AND (beat < ? OR beat > ?)",
            (*OPEN, now - _LOST_S, now + 1.0),
        ).fetchall()
        for row in lost:
            desk.execute(
                "UPDATE plan_job SET state = ?, ended = ? WHERE id = ? AND state IN (?, ?)",
                (BROKEN, self._now(), row["id"], *OPEN),
            )

    def _work(self, number: int, content: dict[str, Any]) -> None:
        try:
            while not self._claim(number):
                if self._beat(number):
                    self._end(number, CANCELLED)
                    return
                time.sleep(_LOOK_S)
            with tempfile.TemporaryDirectory(prefix="noctule-plan-") as folder:
                file = Path(folder) / f"{content['name']}.toml"
                file.write_text(scenario_text(content), "utf-8")
                self._run(number, file)
        except Exception as error:
            _log.exception("a plan could not be computed")
            with contextlib.suppress(Exception):
                self._end(number, FAILED, str(error))

    def _claim(self, number: int) -> bool:
        """Take the turn: when no other job runs and none has waited longer."""
        with self._desk.open() as desk:
            desk.execute("BEGIN IMMEDIATE")
            self._mark_lost(desk)
            before = desk.execute(
                "SELECT COUNT(*) FROM plan_job WHERE state = ? OR (state = ? AND id < ?)", (RUNNING, WAITING, number)
            ).fetchone()[0]
            if before:
                return False
            taken = desk.execute(
                "UPDATE plan_job SET state = ?, beat = ? WHERE id = ? AND state = ? AND cancel = 0",
                (RUNNING, time.monotonic(), number, WAITING),
            )
            return bool(taken.rowcount)

    def _run(self, number: int, file: Path) -> None:
        told: dict[str, Any] = {}
        complaint: list[str] = []
        # Its standard input stays open for as long as we live, and tells it when we do not.
        with subprocess.Popen(
            [*self._runner, str(self._city.path), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | _ENVIRONMENT,
            text=True,
        ) as process:
            ears = [
                threading.Thread(target=_listen, args=(process.stdout, told), daemon=True),
                threading.Thread(target=_keep_end, args=(process.stderr, complaint), daemon=True),
            ]
            for ear in ears:
                ear.start()
            try:
                cancelled = self._watch(number, process, told)
            finally:
                process.kill()
                for ear in ears:
                    ear.join()
        if told.get("finished"):
            self._end(number, DONE)
        elif cancelled:
            self._end(number, CANCELLED)
        else:
            if not told.get("error"):
                _log.error("the process of a plan ended: %s", "".join(complaint))
            self._end(number, FAILED, str(told.get("error", "")))

    def _watch(self, number: int, process: subprocess.Popen[str], told: dict[str, Any]) -> bool:
        """Keep the job's row fresh until its process ends; whether somebody wants it to end before."""
        ends = time.monotonic() + LONGEST_S
        while time.monotonic() < ends:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
                return False
            if self._beat(number, int(told.get("done", 0)), int(told.get("steps", 0))):
                return True
        return False

    def _beat(self, number: int, done: int = 0, steps: int = 0) -> bool:
        """Keep a job's row fresh; whether somebody wants it to end."""
        with self._desk.open() as desk:
            desk.execute(
                "UPDATE plan_job SET beat = ?, done = ?, steps = ? WHERE id = ?",
                (time.monotonic(), done, steps, number),
            )
            row = desk.execute("SELECT cancel, state FROM plan_job WHERE id = ?", (number,)).fetchone()
        return row is None or bool(row["cancel"]) or row["state"] not in OPEN

    def _end(self, number: int, state: str, message: str = "") -> None:
        with self._desk.open() as desk:
            desk.execute(
                "UPDATE plan_job SET state = ?, ended = ?, message = ? WHERE id = ? AND state IN (?, ?)",
                (state, self._now(), message[:2000], number, *OPEN),
            )

    def _now(self) -> str:
        return rfc3339(self._clock.now())


def _keep_end(lines: Any, kept: list[str]) -> None:
    """The last lines of what a process complains of."""
    for line in lines:
        kept.append(line)
        del kept[:-40]


def _listen(lines: Any, told: dict[str, Any]) -> None:
    for line in lines:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict):
                told.update(said)
