"""What Chromium without a GPU says of the page: paints, bytes, answers to clicks, frames, and its memory."""

# ruff: noqa: E501  # what runs inside the page is written as it is
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import psutil

from benchmarks.demo.night import FLAGS

SIZES = {"desktop": (1600, 900), "phone": (390, 844)}
# Inside the page, because Playwright's own way there and back costs as much as an answer.
HELPERS = """() => {
  window.took = (act, done) => new Promise(tell => {
    const began = performance.now();
    act();
    const look = () => {
      const now = performance.now();
      if (done()) tell(now - began); else if (now - began > 15000) tell(15000); else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  window.put = (input, value) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, value);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
}"""
STEP = """n => { const s = noctule.stats, before = s.painted;
  return took(() => put(document.getElementById('time-range'), n), () => s.painted !== before && s.painted === noctule.wanted); }"""
LAYER = """name => { const s = noctule.stats;
  return took(() => document.querySelector(`input[name=layer][value=${name}]`).click(), () => s.painted.startsWith(name + '/')); }"""
CLICK = """([lat, lng]) => { const body = document.getElementById('details-body'); let said = false;
  const seen = new MutationObserver(() => { said = true; }); seen.observe(body, { childList: true, subtree: true, characterData: true });
  return took(() => noctule.map.fire('click', { latlng: L.latLng(lat, lng) }), () => said && body.textContent.includes('%'))
    .then(ms => { seen.disconnect(); return ms; }); }"""
LANGUAGE = """() => { const line = document.querySelector('.noteline').textContent;
  return took(() => document.querySelector('a.lang').click(),
    () => { const now = document.querySelector('.noteline'); return now && now.textContent !== line && noctule.stats.painted; }); }"""
LAMPS = """() => took(() => document.querySelector('#overlays input').click(),
  () => noctule.map.getPane('dots').querySelectorAll('canvas').length > 0)"""
LAMP_BYTES = """() => { const one = performance.getEntriesByType('resource').find(e => e.name.includes('/overlay/lamps'));
  return one ? one.transferSize : null; }"""
PAN = """() => new Promise(tell => { let frames = 0; const began = performance.now();
  const go = () => { noctule.map.panBy([frames % 80 < 40 ? 9 : -9, 3 * (frames % 2 ? 1 : -1)], { animate: false }); frames += 1;
    const s = (performance.now() - began) / 1000; if (s > 3) tell(frames / s); else requestAnimationFrame(go); };
  requestAnimationFrame(go); })"""
PAINT = "() => { const one = performance.getEntriesByName('first-contentful-paint')[0]; return one ? one.startTime : null; }"


@contextmanager
def browser_of(chromium: str) -> Any:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


class Bytes:
    """What came over the network, by kind, as the protocol counts it."""

    def __init__(self, page: Any) -> None:
        self._kinds: dict[str, str] = {}
        self.by_kind: dict[str, float] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceived", lambda e: self._kinds.update({e["requestId"]: e["type"]}))
        session.on("Network.loadingFinished", self._add)

    def _add(self, event: Any) -> None:
        kind = self._kinds.get(event["requestId"], "")
        self.by_kind[kind] = self.by_kind.get(kind, 0) + event["encodedDataLength"]

    @property
    def all(self) -> float:
        """Of every kind."""
        return sum(self.by_kind.values())


def page_of(url: str, chromium: str, rounds: int, change: Callable[[], Any]) -> dict[str, Any]:
    """Medians and 95th percentiles of everything a visitor waits for."""
    said: list[str] = []
    told: dict[str, Any] = {}
    with browser_of(chromium) as browser:
        for name, (width, height) in SIZES.items():
            visits = [_visit(browser, url, width, height, said) for _ in range(rounds + 1)][
                1:
            ]  # the first warms the server
            told[name] = {key: _middle([one[key] for one in visits]) for key in visits[0]}
        told |= _acts(browser, url, rounds, change, said)
    return told | {"errors": said}


def _open(context: Any, url: str, said: list[str]) -> Any:
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    own = (url, "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else said.append(asked.url))
    return page


def _shown(page: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not page.evaluate("!!(window.noctule && window.noctule.stats && window.noctule.stats.first)"):
        if time.monotonic() > end:
            raise RuntimeError("the map never showed data")
        page.wait_for_timeout(20)


def _visit(browser: Any, url: str, width: int, height: int, said: list[str]) -> dict[str, float]:
    """A first visit and a second one."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark")
    page = _open(context, url, said)
    first = Bytes(page)
    page.goto(url + "/?lang=en")
    _shown(page)
    page.wait_for_timeout(1_500)  # what comes after the map counts too
    found = {"paint_ms": page.evaluate(PAINT), "map_ms": page.evaluate("window.noctule.stats.first")}
    found |= {"kB": first.all / 1e3, "script_kB": first.by_kind.get("Script", 0) / 1e3}
    page.evaluate(HELPERS)
    found["pan_fps"] = page.evaluate(PAN)
    page.close()
    page = _open(context, url, said)
    again = Bytes(page)
    page.goto(url + "/?lang=en")
    _shown(page)
    page.wait_for_timeout(1_500)
    found["again_kB"] = again.all / 1e3
    context.close()
    return found


def _acts(browser: Any, url: str, rounds: int, change: Callable[[], Any], said: list[str]) -> dict[str, Any]:
    context = browser.new_context(viewport={"width": 1600, "height": 900}, color_scheme="dark")
    page = _open(context, url, said)
    page.goto(url + "/?lang=en")
    _shown(page)
    page.evaluate(HELPERS)
    page.wait_for_timeout(800)
    pixels = []
    for _ in range(4 * rounds):
        since = page.evaluate("noctule.stats.paintedAt")
        version = str(change()["version"])
        began = time.perf_counter()
        while not page.evaluate(
            "([v, t]) => noctule.stats.painted.endsWith('/' + v) && noctule.stats.paintedAt > t", [version, since]
        ):
            if time.perf_counter() - began > 15:
                break
            time.sleep(0.004)
        pixels.append((time.perf_counter() - began) * 1_000)
        page.wait_for_timeout(300)
    centre = page.evaluate("() => { const c = noctule.map.getCenter(); return [c.lat, c.lng]; }")
    clicks = []
    for number in range(6 * rounds):
        place = [centre[0] + 0.0007 * (number % 9 - 4), centre[1] + 0.0011 * (number % 7 - 3)]
        clicks.append(page.evaluate(CLICK, place))
        page.wait_for_timeout(60)
    page.click("#close")
    page.wait_for_timeout(300)
    layers = [page.evaluate(LAYER, name) for _ in range(rounds) for name in ("light", "footfall", "noise", "safety")]
    steps = []
    for number in [(7 * i) % 20 for i in range(1, 4 * rounds + 1)]:
        steps.append(page.evaluate(STEP, number))
        page.wait_for_timeout(60)
    play = sum(
        page.evaluate(STEP, number) for number in (1, 2, 3, 4, 5, 6, 7, 8)
    )  # seen or not, as quickly as they come
    languages = []
    for _ in range(2 * rounds):
        languages.append(page.evaluate(LANGUAGE))
        page.wait_for_timeout(700)
    page.evaluate("() => document.querySelectorAll('.panel .fold').forEach(one => { one.open = true; })")
    lamps = page.evaluate(LAMPS)
    page.wait_for_timeout(500)
    found = {
        "change_to_pixel_p50_ms": _p(pixels, 50), "change_to_pixel_p95_ms": _p(pixels, 95),
        "click_p50_ms": _p(clicks, 50), "click_p95_ms": _p(clicks, 95),
        "step_p50_ms": _p(steps, 50), "step_p95_ms": _p(steps, 95),
        "layer_p50_ms": _p(layers, 50), "layer_p95_ms": _p(layers, 95),
        "language_p50_ms": _p(languages, 50), "language_p95_ms": _p(languages, 95),
        "playback_fps": round(8_000 / play, 1), "lamps_ms": round(lamps),
        "lamps_kB": round((page.evaluate(LAMP_BYTES) or 0) / 1e3, 1),
    }  # fmt: skip
    context.close()
    return found


def hour_of(url: str, chromium: str, minutes: float, every_s: float, change: Callable[[], Any]) -> dict[str, Any]:
    """What the page holds after an hour of events in a shorter time, and by how much it grows with each."""
    with browser_of(chromium) as browser:
        context = browser.new_context(viewport={"width": 1600, "height": 900}, color_scheme="dark")
        page = context.new_page()
        session = context.new_cdp_session(page)
        page.goto(url + "/?lang=en")
        _shown(page)
        session.send("HeapProfiler.enable")

        def held() -> tuple[float, float]:
            session.send("HeapProfiler.collectGarbage")
            page.wait_for_timeout(300)
            metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            return metrics["JSHeapUsedSize"] / 1e6, _renderer_mb()

        session.send("Performance.enable")
        page.wait_for_timeout(1_500)
        before, count, end = held(), 0, time.monotonic() + 60 * minutes
        third = None
        while time.monotonic() < end:
            began = time.monotonic()
            change()
            count += 1
            page.wait_for_timeout(max(0.0, every_s - (time.monotonic() - began)) * 1_000)
            if third is None and end - time.monotonic() < 40 * minutes:
                third = (count, held()[0])
        page.wait_for_timeout(1_500)
        after = held()
        seen = page.evaluate("noctule.stats.requests")
        context.close()
    since, heap = third or (0, before[0])
    return {
        "minutes": minutes, "events": count, "tile_requests": seen, "heap_MB": round(after[0], 1), "page_MB": round(after[1]),
        "page_MB_at_first": round(before[1]), "heap_kB_an_event_in_the_last_two_thirds": round(1e3 * (after[0] - heap) / max(1, count - since), 2),
    }  # fmt: skip


def _renderer_mb() -> float:
    """Of the largest renderer among our children, pages that it shares with others counted in part."""
    sizes = [0.0]
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "--type=renderer" in one.cmdline():
                sizes.append(one.memory_full_info().pss / 1e6)
    return max(sizes)


def _middle(values: list[float]) -> float:
    return round(float(np.median([value for value in values if value is not None] or [np.nan])), 1)


def _p(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent))) if values else float("nan")
