"""What reaches a page, and what a page does when its server, a worker of it or its connection goes away."""

import contextlib
import re
import signal
import socket
import threading
import time

import httpx
import psutil
import pytest

from dashboard.runs import Runs
from tests.journeys.town import NEEDS_CHROMIUM, Town, until

STREAM = "data: "


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = Town(tmp_path_factory.mktemp("push") / "smalltown", workers=2)
    wait_for(lambda: len(workers(made)) == 2, "two workers")
    yield made
    if made.process.poll() is None:
        made.stop()


def workers(town):
    return psutil.Process(town.process.pid).children()


def wait_for(ready, what, seconds=20.0):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"still waiting for {what}"
        time.sleep(0.02)


class Listener(threading.Thread):
    """One viewer without a browser: its connection stays with the worker that took it."""

    def __init__(self, town):
        super().__init__(daemon=True)
        self.town, self.events, self.ended = town, [], ""
        self.connected = threading.Event()
        self.start()

    def run(self):
        try:
            with httpx.stream("GET", self.town.url + "/live/events", timeout=None) as answer:
                self.connected.set()
                for line in answer.iter_lines():
                    if line.startswith(STREAM):
                        self.events.append(line)
                self.ended = "in order"
        except httpx.HTTPError as error:
            self.ended = type(error).__name__


def worker_of(town, sockets_before):
    """Which worker took the connection that is new."""
    for worker in workers(town):
        with contextlib.suppress(psutil.Error):
            mine = {c.raddr.port for c in worker.net_connections("tcp") if c.status == "ESTABLISHED" and c.raddr}
            if mine - sockets_before:
                return worker.pid
    return None


def tile(town, client):
    scene = client.get("/live/scene").json()
    frame = scene["frames"][0]
    runs = Runs(town.city)
    longitude, latitude = runs.frame.lonlat(*(side // 2 for side in runs.frame.shape))
    from math import asinh, pi, radians, tan

    x, y = int((longitude + 180) / 360 * 2**15), int((1 - asinh(tan(radians(latitude))) / pi) / 2 * 2**15)
    path = f"/tiles/v/{town.city.id}/safety/{frame['run']}/0/{frame['version']}/15/{x}-{x}/{y}-{y}.bin"
    return frame["version"], client.get(path).content


@contextlib.contextmanager
def client_of_each(town):
    """Two clients, each of which talks to another worker for as long as its connection lives."""
    with contextlib.ExitStack() as held:
        found, seen = {}, set()
        for _ in range(100):
            client = httpx.Client(base_url=town.url, cookies={"noctule_role": "viewer"}, timeout=20)
            client.get("/live/scene")
            pid = worker_of(town, seen)
            seen |= {c.raddr.port for w in workers(town) for c in w.net_connections("tcp") if c.raddr}
            if pid is None or pid in found:
                client.close()
                continue
            found[pid] = client
            held.callback(client.close)
            if len(found) == 2:
                break
        assert len(found) == 2, "one worker takes every connection"
        yield list(found.values())


@contextlib.contextmanager
def tab(browser, url):
    """A page of its own context, once it shows the map."""
    context = browser.new_context(viewport={"width": 1024, "height": 768})
    page = context.new_page()
    page.goto(url)
    until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)")
    yield page
    context.close()


def test_two_workers_answer_with_the_same_bytes_and_both_tell_of_a_change(town):
    with client_of_each(town) as clients:
        answers = [tile(town, client) for client in clients]
        assert answers[0] == answers[1] and len(answers[0][1]) == 2 * 256 * 256
        pages = [re.sub('"end_id":"[^"]+"', "", client.get("/").text) for client in clients]  # Dash's, one a visit
        assert pages[0] == pages[1]
        refused = [
            client.get(f"/tiles/v/{town.city.id}/crime/now/0/1/15/1-1/1-1.bin").status_code for client in clients
        ]
        assert refused == [404, 404]
    listeners = [Listener(town) for _ in range(12)]
    wait_for(lambda: all(one.events for one in listeners), "the first event of each")
    assert len({one.events[0].split('"time"')[0] for one in listeners}) == 1
    time.sleep(0.3)
    town.map_now(4.0)
    wait_for(lambda: all(len(one.events) >= 2 for one in listeners), "the change at each")
    assert len({one.events[1].split('"time"')[0] for one in listeners}) == 1


def test_a_worker_that_is_killed_comes_back_and_the_others_go_on(town):
    before = {worker.pid for worker in workers(town)}
    listeners = [Listener(town) for _ in range(12)]
    wait_for(lambda: all(one.events for one in listeners), "the first event of each")
    victim = workers(town)[0]
    victim.send_signal(signal.SIGKILL)
    wait_for(lambda: len({worker.pid for worker in workers(town)} - {victim.pid}) == 2, "another worker")
    assert len({worker.pid for worker in workers(town)} & before) == 1
    for _ in range(8):
        assert httpx.get(town.url + "/live/scene", timeout=20).status_code == 200


@pytest.mark.browser
@pytest.mark.skipif(*NEEDS_CHROMIUM[1].args, **NEEDS_CHROMIUM[1].kwargs)
def test_a_page_whose_worker_is_killed_shows_the_next_change(town, browser):
    with tab(browser, town.url + "/?lang=en") as page:
        for worker in workers(town):
            worker.send_signal(signal.SIGKILL)
        told = town.map_now(7.0)
        until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}')", 40)
        until(page, "/Live/.test(document.getElementById('status').textContent)", 40)


@pytest.mark.browser
@pytest.mark.skipif(*NEEDS_CHROMIUM[1].args, **NEEDS_CHROMIUM[1].kwargs)
def test_seven_tabs_share_one_stream_and_when_the_listening_one_closes_another_listens(town, browser):
    context = browser.new_context(viewport={"width": 400, "height": 300})
    streams = []
    context.on("request", lambda asked: streams.append(asked.url) if asked.url.endswith("/live/events") else None)
    pages = [context.new_page() for _ in range(7)]  # a browser has six connections
    for page in pages:
        page.goto(town.url + "/?lang=en")
        until(page, "!!(window.noctule && window.noctule.stats && window.noctule.stats.first)", 40)
    assert len(streams) == 1
    told = town.map_now(5.0)
    for page in pages:
        until(page, "window.noctule.sceneAt && window.noctule.lastEvent && window.noctule.lastEvent.layer === 'now'")
    pages[0].close()
    told = town.map_now(6.0)
    for page in pages[1:]:
        page.bring_to_front()
        until(page, f"window.noctule.stats.painted.endsWith('/{told['version']}')")
    assert len(streams) == 2
    context.close()


@pytest.mark.browser
@pytest.mark.skipif(*NEEDS_CHROMIUM[1].args, **NEEDS_CHROMIUM[1].kwargs)
def test_a_connection_that_drops_while_the_night_plays_costs_no_picture_and_goes_on(town, browser):
    with tab(browser, town.url + "/research?lang=en&night=2026-11-19&t=2026-11-19T19:00:00.000Z") as page:
        page.evaluate("() => { document.activeElement.blur(); window.noctule.togglePlay(); }")
        first = page.evaluate("window.noctule.stats.painted")
        until(page, f"window.noctule.stats.painted !== {first!r}")
        page.context.set_offline(True)
        page.wait_for_timeout(1500)
        shown = page.evaluate("window.noctule.stats.painted")
        assert shown and page.evaluate(  # what was painted stays on the screen
            "[...document.querySelectorAll('.values canvas')]"
            ".some(c => c.getContext('2d').getImageData(0, 0, 256, 256).data.some(v => v))"
        )
        page.context.set_offline(False)
        page.evaluate("() => { if (!window.noctule.playing) window.noctule.togglePlay(); }")
        until(page, f"window.noctule.stats.painted !== {shown!r}", 40)


def test_all_workers_end_within_two_seconds_though_streams_are_open(town):
    listeners = [Listener(town) for _ in range(6)]
    wait_for(lambda: all(one.events for one in listeners), "the first event of each")
    everyone = [psutil.Process(town.process.pid), *workers(town)]
    began = time.monotonic()
    town.process.send_signal(signal.SIGTERM)
    town.process.wait(10)
    assert time.monotonic() - began < 2.5  # two seconds, and what a busy machine adds
    assert not psutil.wait_procs(everyone, timeout=1)[1]
    wait_for(lambda: all(one.ended for one in listeners), "the streams to end")
    assert {one.ended for one in listeners} == {"in order"}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", town.port)) != 0


def test_when_the_parent_is_killed_its_workers_end_too(town):
    town.start()
    wait_for(lambda: len(workers(town)) == 2, "two workers")
    left = workers(town)
    town.process.kill()
    town.process.wait()
    assert not psutil.wait_procs(left, timeout=5)[1]
