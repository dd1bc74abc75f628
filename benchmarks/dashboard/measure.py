"""The dashboard of a city of a million cells: how soon, how much, for how many, and what it costs.

    python -m benchmarks dashboard [-- --quick] [-- --only server,push,viewers,page,hour]

Makes a city in a temporary folder, serves it as `noctule serve` does, and asks as browsers do: over the loopback, and
with Chromium without a GPU where it is installed. Times of the page are taken inside the page. The load of the machine
is told beside each part; on a busy one only the bytes and the processor times mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.dashboard.browser import hour_of, page_of
from benchmarks.dashboard.city import LAYERS, STEPS, change, make, page
from benchmarks.verdict import arguments, at_least, at_most, report
from sensors.city import City

PARTS = ("server", "push", "viewers", "page", "hour")
ZOOM = 15  # a pixel is a third of a cell of 10 m; where the map opens on a city quarter
# The basemap of a whole city is drawn once in its life, for minutes; here only what is looked at, by the first visit.
SERVE = """
import sys
from dashboard import workers
from dashboard.app import build
application = build(sys.argv[1], switch=True)
begin, application.begin = application.begin, lambda draws: begin(False)
workers.run(application, workers.listen("127.0.0.1", int(sys.argv[2])), int(sys.argv[3]))
"""
ACROSS, DOWN = 7, 4  # tiles of a screen of 1600 x 900


def main() -> int:
    given = arguments(__doc__, _more, workers=1, changes=12, viewers=50, minutes=10)
    parts = given.only.split(",") if given.only else list(PARTS)
    if unknown := set(parts) - set(PARTS):
        print(f"there is no part '{min(unknown)}'; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"gates": []}
    with tempfile.TemporaryDirectory(prefix="noctule-dashboard-") as temporary:
        folder = given.city or Path(temporary) / "city"
        city = City.open(folder) if (folder / "city.toml").is_file() else make(folder)
        with serving(city, given.workers) as served:
            for part in parts:
                gates, told = _PARTS[part](served, given)
                result[part] = {"load": round(os.getloadavg()[0], 1), **told}
                result["gates"] += gates
                if not given.json:
                    print(f"    {part} measured, load {result[part]['load']}", file=sys.stderr, flush=True)
    return report(result, given.json)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer rounds; half a minute instead of an hour")
    parser.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--city", type=Path, help="keep the city here, and use it again")


class Served:
    """A server of our own and what it costs."""

    def __init__(self, city: City, process: subprocess.Popen[bytes], port: int) -> None:
        self.city, self.process, self.port = city, process, port

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """The parent and its workers."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self.processes())

    def memory_mib(self) -> float:
        """Of the largest process that answers, shared pages counted in part."""
        return max(one.memory_full_info().pss for one in self.processes()) / 2**20

    def scene(self) -> dict[str, Any]:
        """What Live draws itself from."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", "/live/scene?lang=en", headers={"cookie": "noctule_role=viewer"})
        scene: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return scene


@contextmanager
def serving(city: City, workers: int) -> Iterator[Served]:
    """What `noctule serve --demo` runs, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(city.path), str(port), str(workers)]
    process = subprocess.Popen(command, env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server never answered")
            time.sleep(0.1)
        served = Served(city, process, port)
        _at_rest(served)
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _at_rest(served: Served) -> None:
    """Wait until what first visitors need is loaded."""
    served.scene()
    before, deadline = served.cpu_s(), time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(1.5)
        now = served.cpu_s()
        if now - before < 0.15:
            return
        before = now


# ---------------------------------------------------------------------------------------------------------- the server


def tile_of(longitude: float, latitude: float, zoom: int) -> tuple[int, int]:
    y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2
    return int((longitude + 180) / 360 * 2**zoom), int(y * 2**zoom)


def blocks(city: City) -> list[str]:
    """Screens of 28 tiles that lie in the city, each another one."""
    longitude, latitude = city.centre_lonlat()
    x, y = tile_of(longitude, latitude, ZOOM)
    corners = [(x + dx, y + dy) for dx in range(-6, 0) for dy in range(-4, 1)]
    return [f"{ZOOM}/{a}-{a + ACROSS - 1}/{b}-{b + DOWN - 1}.bin" for a, b in corners]


def _server(served: Served, given: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    frames = [frame for frame in served.scene()["frames"] if frame["version"] and frame["run"] != "now"][:STEPS]
    wanted = blocks(served.city)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
    headers = {"accept-encoding": "zstd", "cookie": "noctule_role=viewer"}

    def took(layer: str, number: int, block: str) -> tuple[float, int]:
        frame = frames[number]
        address = f"/tiles/v/{served.city.id}/{layer}/{frame['run']}/{number}/{frame['version']}/{block}"
        began = time.perf_counter()
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} of {address}")
        return (time.perf_counter() - began) * 1_000, len(body)

    new = [took(layer, number, wanted[0]) for number in range(len(frames)) for layer in LAYERS]
    memory = served.memory_mib()
    rounds = 2 if given.quick else 6
    # A block that nobody asked for, of a step that somebody looks at.
    seen = [took(LAYERS[i % 4], i % len(frames), block) for i in range(rounds) for block in wanted[1:]]
    cold = [ms for ms, _ in seen]
    # And one after another over whole frames, for the processor's sake.
    cpu, count = served.cpu_s(), 0
    for i in range(rounds):
        for block in wanted[1:]:
            took(LAYERS[(i + 1) % 4], (i + 7) % len(frames), block)
            count += ACROSS * DOWN
    per_core = count / (served.cpu_s() - cpu)
    connection.close()
    told = {
        "block_p50_ms": round(_p(cold, 50), 1), "block_p95_ms": round(_p(cold, 95), 1),
        "first_of_a_step_p50_ms": round(_p([ms for ms, _ in new], 50), 1),
        "block_kB": round(statistics.median(size for _, size in seen) / 1e3, 1),
        "tiles_per_core_s": round(per_core), "memory_MiB": round(memory),
    }  # fmt: skip
    gates = [
        at_most("cold block of 28 tiles, p50 ms", told["block_p50_ms"], 40),
        at_most("cold block of 28 tiles, p95 ms", told["block_p95_ms"], 80),
        at_least("value tiles a second and core", told["tiles_per_core_s"], 700),
        at_most("server memory with 21 steps of 4 layers, MiB", told["memory_MiB"], 600),
    ]
    return gates, told


def _p(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else math.nan


# -------------------------------------------------------------------------------------------------------------- viewers


class Viewer:
    """One browser without its screen: the event stream, and on every event the scene and its block of tiles."""

    def __init__(self, served: Served, block: str) -> None:
        self._served, self._block = served, block
        self.heard: list[float] = []  # seconds from the change to the event
        self.painted: list[float] = []  # and to the last byte of the tiles
        self.version, self.lost = "", 0
        self._standing, self._since = "", 0.0

    async def watch(self, until: asyncio.Event) -> None:
        """Listen until told to go; comes back to the server as a browser does when the connection drops."""
        while not until.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port)
            except OSError:
                await asyncio.sleep(0.5)
                continue
            self._writer, self._since = writer, time.time()
            writer.write(b"GET /live/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: noctule_role=viewer\r\n\r\n")
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._listen(reader)
            writer.close()
            if not until.is_set():
                await asyncio.sleep(2.0)  # what the stream's first line asks browsers to wait

    def drop(self) -> None:
        """Lose the connection, as on a train."""
        self._writer.transport.abort()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if not line.startswith(b"data: "):
                continue
            event, at, changed = json.loads(line[6:]), time.time(), self._changed()
            # Who was away when the page changed hears of it on coming back; that they do is another gate.
            here = event["layer"] == "now" and changed >= self._since
            if here:
                self.heard.append(at - changed)
            if event["layer"] == "now" or (event["layer"] == "standing" and event["version"] != self._standing):
                await self._look()
                if here:
                    self.painted.append(time.time() - changed)

    def _changed(self) -> float:
        """When the page that stands now was committed."""
        return self._served.city.shelf("atlas", "now", "current.json").stat().st_mtime

    async def _look(self) -> None:
        scene = json.loads(await self._get("/live/scene?lang=en"))
        self._standing = scene.get("standing", "")
        live = scene["frames"][scene["live"]]
        self.version = str(live["version"])
        await self._get(f"/tiles/v/{self._served.city.id}/safety/now/0/{self.version}/{self._block}")

    async def _get(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port)
        asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: zstd\r\nCookie: noctule_role=viewer\r\n"
        writer.write(asked.encode() + b"Connection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
        writer.close()
        if b"content-encoding: zstd" in head.lower() and path.startswith("/live"):
            import zstandard

            return zstandard.ZstdDecompressor().decompress(body)
        return body


def _watched(served: Served, number: int, changes: int, every_s: float, drop: bool) -> dict[str, Any]:
    """A number of viewers over some changes; half way all connections drop and a change comes while they are away."""
    city = served.city
    step = np.datetime64(served.scene()["frames"][STEPS]["at"].removesuffix("Z"), "ms")
    ready = [page(city, step, STEPS, shift) for shift in (0.0, 4.0)]

    async def all_of_it() -> dict[str, Any]:
        until = asyncio.Event()
        viewers = [Viewer(served, blocks(city)[0]) for _ in range(number)]
        tasks = [asyncio.create_task(one.watch(until)) for one in viewers]
        await asyncio.sleep(3)
        cpu, began, version = served.cpu_s(), time.monotonic(), ""
        for count in range(changes):
            if drop and count == changes // 2:
                for one in viewers:
                    one.drop()
                await asyncio.sleep(0.2)
            told = await asyncio.to_thread(change, city, 0.0, ready[count % 2])
            version = str(told["version"])
            await asyncio.sleep(every_s)
        await asyncio.sleep(3)
        seconds, used = time.monotonic() - began, served.cpu_s() - cpu
        until.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        heard = [s * 1_000 for one in viewers for s in one.heard]
        painted = [s * 1_000 for one in viewers for s in one.painted]
        return {
            "event_p50_ms": round(_p(heard, 50)), "event_p95_ms": round(_p(heard, 95)),
            "tiles_p95_ms": round(_p(painted, 95)), "cores": round(used / seconds, 3),
            "events": len(heard), "left_behind": sum(one.version != version for one in viewers),
        }  # fmt: skip

    return asyncio.run(all_of_it())


def _push(served: Served, given: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    told = _watched(served, 1, 5 if given.quick else 20, 1.5, drop=False)
    return [at_most("server change to event, one viewer, p95 ms", told["event_p95_ms"], 150)], told


def _viewers(served: Served, given: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    told = _watched(served, given.viewers, 4 if given.quick else given.changes, 5.0, drop=True)
    gates = [
        at_most(f"{given.viewers} viewers: event p95 ms", told["event_p95_ms"], 500),
        at_most(f"{given.viewers} viewers: tiles there p95 ms", told["tiles_p95_ms"], 2_000),
        at_most(f"{given.viewers} viewers: cores", told["cores"], 0.3),
        at_most(f"{given.viewers} viewers: without the newest version at the end", told["left_behind"], 0),
    ]
    return gates, told


# ------------------------------------------------------------------------------------------------------------- the page


def _page(served: Served, given: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    if (chromium := shutil.which("chromium")) is None:
        return [], {"skipped": "needs Debian's chromium"}
    step = np.datetime64(served.scene()["frames"][STEPS]["at"].removesuffix("Z"), "ms")
    ready = [page(served.city, step, STEPS, shift) for shift in (0.0, 6.0)]
    count = iter(range(10_000))
    told = page_of(
        served.url, chromium, 1 if given.quick else 5, lambda: change(served.city, 0.0, ready[next(count) % 2])
    )
    desk, phone = told["desktop"], told["phone"]
    gates = [
        at_most("first contentful paint, desktop, ms", desk["paint_ms"], 1_000),
        at_most("first contentful paint, phone, ms", phone["paint_ms"], 1_000),
        at_most("map with data, desktop, ms", desk["map_ms"], 2_500),
        at_most("map with data, phone, ms", phone["map_ms"], 2_000),
        at_most("first visit, desktop, kB", desk["kB"], 900),
        at_most("first visit, phone, kB", phone["kB"], 700),
        at_most("scripts, kB", desk["script_kB"], 400),
        at_most("repeat visit, kB", desk["again_kB"], 150),
        at_most("server change to pixel, p95 ms", told["change_to_pixel_p95_ms"], 500),
        at_most("click to details, p95 ms", told["click_p95_ms"], 300),
        at_most("time step, p95 ms", told["step_p95_ms"], 300),
        at_most("layer switch, p95 ms", told["layer_p95_ms"], 500),
        at_most("language switch, p95 ms", told["language_p95_ms"], 500),
        at_most("50,000 lamps, first time, ms", told["lamps_ms"], 800),
        at_most("50,000 lamps, kB", told["lamps_kB"], 300),
        at_least("pan at 1600 x 900, frames a second", desk["pan_fps"], 15),
        at_least("pan at 390 x 844, frames a second", phone["pan_fps"], 30),
        at_least("playback, pictures a second", told["playback_fps"], 4),
        at_most("console errors and requests elsewhere", len(told["errors"]), 0),
    ]
    flat = {f"{where}_{name}": value for where in ("desktop", "phone") for name, value in told.pop(where).items()}
    return gates, flat | told


def _hour(served: Served, given: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    """An hour live, shortened: six times the events of the 50 viewers' rate, for a sixth of the time."""
    if (chromium := shutil.which("chromium")) is None:
        return [], {"skipped": "needs Debian's chromium"}
    step = np.datetime64(served.scene()["frames"][STEPS]["at"].removesuffix("Z"), "ms")
    ready = [page(served.city, step, STEPS, shift) for shift in (0.0, 6.0)]
    minutes = 0.5 if given.quick else float(given.minutes)
    count = iter(range(10**6))
    told = hour_of(served.url, chromium, minutes, 5.0 / 6, lambda: change(served.city, 0.0, ready[next(count) % 2]))
    return [at_most("page after an hour live (shortened), MB", told["page_MB"], 250)], told


_PARTS: dict[str, Callable[[Served, argparse.Namespace], tuple[list[Any], dict[str, Any]]]] = {
    "server": _server, "push": _push, "viewers": _viewers, "page": _page, "hour": _hour,
}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
