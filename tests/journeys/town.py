"""A small town on the shelf and its server, and what journeys ask of a page that shows it.

The strict policy forbids Playwright's `wait_for_function`, which evaluates a string in the page; `until` asks instead.
The policy is never bypassed, else it would go untested.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ingest import health
from sensors.clock import set_clock
from tests import synthetic_atlas
from tests.synthetic_city import make_city

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium (apt install chromium), which is not here"),
]
ROOT = Path(__file__).resolve().parents[2]
SERVE = (
    "import sys\n"
    "from dashboard import workers\n"
    "from dashboard.app import build\n"
    "bound = workers.listen('127.0.0.1', int(sys.argv[2]))\n"
    "workers.run(build(sys.argv[1], switch=True), bound, int(sys.argv[3]))\n"
)


def until(page, expression, seconds=20.0):
    from playwright.sync_api import Error

    end = time.monotonic() + seconds
    while True:
        try:
            if page.evaluate(expression):
                return
        except Error as error:  # the page that was asked has just given way to the next one
            if "context was destroyed" not in str(error):
                raise
        assert time.monotonic() < end, f"never became true: {expression}"
        page.wait_for_timeout(15)


def p95(seconds):
    return sorted(seconds)[int(np.ceil(len(seconds) * 0.95)) - 1] * 1000


class Town:
    """A town on the shelf and its server."""

    def __init__(self, folder, workers=1):
        self.workers = workers
        self.city = make_city(folder)
        synthetic_atlas.write_night(self.city, "2026-11-19", steps=8)
        synthetic_atlas.write_night(self.city, "2026-11-20", steps=4)
        synthetic_atlas.write_plan(self.city)
        synthetic_atlas.write_now(self.city, "2026-11-20", 4)
        set_clock(self.city.path, np.datetime64("2026-11-20T19:12", "ms"), 1e-6)
        self.beat("connected")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SERVE, str(self.city.path), str(self.port), str(self.workers)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)
        self.await_answer()

    def await_answer(self):
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the server never answered")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def map_now(self, shift):
        """Replace `now`, as the mapper would; in a thread, because Playwright holds this one's event loop."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(synthetic_atlas.write_now, self.city, "2026-11-20", 4, shift).result()

    def beat(self, state):
        """What ingest says of itself; a file from the future is never stale."""
        health.write_health(self.city, {**health.read_health(self.city), "state": state})
        os.utime(health.health_path(self.city), (time.time() + 3600, time.time() + 3600))


def own(address, url):
    return address.startswith((url, "data:", "blob:"))


def screen_of(page, latitude, longitude):
    """Where on the screen a place lies."""
    place = page.evaluate(
        "([lat, lon]) => { const p = window.noctule.map.latLngToContainerPoint([lat, lon]);"
        " const box = document.getElementById('map').getBoundingClientRect(); return [box.x + p.x, box.y + p.y]; }",
        [latitude, longitude],
    )
    return round(place[0]), round(place[1])


def colour_at(page, x, y):
    import io

    from PIL import Image

    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[y, x].astype(float)


def violations(page):
    """What axe-core objects to, by rule and element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(one["id"], node["target"], node.get("failureSummary", "")[:200]) for one in found for node in one["nodes"]]
