"""Answers of the form survive a collector that is killed again and again: each is kept once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ingest.archive import answers
from ingest.inbox import collect
from ingest.quarantine import quarantined, read_quarantine
from sensors.clock import set_clock
from sensors.coarsening import section_middles
from sensors.inbox import leave, waiting
from tests.synthetic_city import make_city
from tests.unit.test_inbox import given

ROOT = Path(__file__).resolve().parents[2]
COLLECT = (
    "import sys\n"
    "from ingest.inbox import collect\n"
    "from sensors.city import City\n"
    "city = City.open(sys.argv[1])\n"
    "print('ready', flush=True)\n"
    "while True:\n"
    "    collect(city)\n"
)
KILLS, ANSWERS = 8, 240


def test_no_answer_is_lost_or_counted_twice_when_the_collector_is_killed(tmp_path):
    city = make_city(tmp_path / "town")
    set_clock(city.path, np.datetime64("2026-11-20T20:05", "ms"), 1e-6)
    places, chance = section_middles(city), random.Random(7)
    sent = []
    for kill in range(KILLS):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", COLLECT, str(city.path)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        for number in range(kill * ANSWERS // KILLS, (kill + 1) * ANSWERS // KILLS):
            # Over many nights and places, so that they are no brigade.
            place, day = places[number % len(places)], f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}"
            note = given(
                number + 1,
                time=f"{day}T20:00:00Z",
                easting=float(place[0]),
                northing=float(place[1]),
                campaign=f"ask-{day[:7]}",
            )
            leave(city, note)
            sent.append(note.response_id)
            if number % 9 == 0:
                leave(city, note)  # a phone that had not heard
        time.sleep(chance.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    collect(city)
    kept = answers(city)
    assert waiting(city) == [] and quarantined(city) == [] and read_quarantine(city, "ask-2026-01").empty
    assert sorted(kept["response_id"]) == sorted(sent)
