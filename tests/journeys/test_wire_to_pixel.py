"""From wire to pixel: a lamp is dimmed over MQTT, and its place on a real screen takes the colour that is called for.

The colour is worked out here from the value in the atlas by the rules of dashboard/README.md, and not by asking the
dashboard.
"""

from __future__ import annotations

import io
import math
import shutil
import time
from contextlib import ExitStack
from typing import Any

import geopandas
import numpy as np
import pytest
from PIL import Image
from shapely.geometry import Point

from analytics import atlas
from ingest.broker import start_embedded
from tests.journeys.ledger import mosquitto
from tests.journeys.service import Service
from tests.synthetic_city import SOUTH, WEST

pytestmark = pytest.mark.browser

# The palette of light, its greying by confidence in four tiers, its opacity, and the ground under everything.
RAMP = ("#2a3160", "#4c4a86", "#82638f", "#bd8a78", "#e6b96b", "#f8e08e", "#fff8dc")
GREY, GREYING = "#7d848f", (0.55, 0.35, 0.15, 0.0)
OPACITY, LAND = 212 / 255, "#0d131c"
EAST_M, NORTH_M = 225, 164  # a lamp of Middle Road beside the park, away from names and walls


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], float)


def called_for(lux: float, sd: float) -> np.ndarray:
    """The colour of an illuminance: equal ratios from 0.05 to 100 lx; grey as its sd nears a factor e."""
    value = round(100 * math.log(min(100.0, max(0.05, lux)) / 0.05) / math.log(100 / 0.05))
    tier = int(min(15.0, max(0.0, (1 - sd) * 16))) // 4
    place = value / 100 * (len(RAMP) - 1)
    lower = min(int(place), len(RAMP) - 2)
    colour = rgb(RAMP[lower]) * (1 - (place - lower)) + rgb(RAMP[lower + 1]) * (place - lower)
    colour = np.rint(colour * (1 - GREYING[tier]) + rgb(GREY) * GREYING[tier])
    return colour * OPACITY + rgb(LAND) * (1 - OPACITY)


class Screen:
    """The page of a town, with the layer of light, over one lamp."""

    def __init__(self, service: Service, page: Any) -> None:
        self.service, self.page = service, page
        lamps = service.city.places("lamps")
        here = (lamps.geometry.x - WEST - EAST_M).abs() + (lamps.geometry.y - SOUTH - NORTH_M).abs()
        lamp = lamps.loc[here.idxmin()]
        self.device = f"node-{lamp['lamp']}"
        self.row, self.column = NORTH_M // 10, EAST_M // 10
        cell = Point(WEST + self.column * 10 + 5, SOUTH + self.row * 10 + 5)
        self.place = geopandas.GeoSeries([cell], crs=lamps.crs).to_crs(4326).iloc[0]
        page.goto(f"{service.url}/?lang=en&layer=light#18/{self.place.y:.6f}/{self.place.x:.6f}")
        self.until("!!(window.noctule && window.noctule.stats && window.noctule.stats.first)", "a first picture")
        page.evaluate("() => { document.querySelector('.simulated-mark').style.opacity = 0; }")

    def until(self, expression: str, what: str, seconds: float = 60.0) -> None:
        """The strict policy of the page forbids Playwright's own waiting, which evaluates a string in the page."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"the page never showed {what}: {self.page.inner_text('#status')}"
            self.page.wait_for_timeout(30)

    def says(self, words: str) -> None:
        self.until(f"/{words}/.test(document.getElementById('status').textContent)", words)

    def mapped(self) -> tuple[int, float, float]:
        """Version, illuminance in lx and its sd at the lamp's cell, as the atlas has them."""
        page, meta = atlas.open_now(self.service.city)
        assert page is not None
        here = page.isel(time=0, northing=self.row, easting=self.column)
        return int(meta["version"]), float(here["illuminance"]), float(here["illuminance_sd"])

    def colour(self) -> np.ndarray:
        box = self.page.locator("#map").bounding_box()
        point = self.page.evaluate(
            "([lat, lon]) => { const p = window.noctule.map.latLngToContainerPoint([lat, lon]); return [p.x, p.y]; }",
            [self.place.y, self.place.x],
        )
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        at = (round(box["x"] + point[0]), round(box["y"] + point[1]))
        return np.array(image.getpixel(at), float)

    def dim(self, share: float) -> float:
        """Dim the lamp over the wire; the light there in lx once the map has it, which the screen must then show."""
        _, before, _ = self.mapped()
        self.service.publish(self.device, "dimming", share)
        self.service.until(lambda: abs(self.mapped()[1] - before) > 0.05 * before, f"the map to hold {share:.0%}")
        _, lux, sd = self.mapped()
        expected = called_for(lux, sd)
        end = time.monotonic() + 30
        while np.abs(self.colour() - expected).max() > 2:
            assert time.monotonic() < end, f"{lux:.2f} lx calls for {expected}, the screen shows {self.colour()}"
            self.page.wait_for_timeout(50)
        return lux


@pytest.fixture
def screen(service: Service, browser: Any) -> Any:
    said: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield Screen(service, page)
    context.close()
    assert said == []


def test_a_lamps_dimming_reaches_the_colour_of_its_pixel(screen: Screen) -> None:
    dark = screen.dim(0.1)
    bright = screen.dim(1.0)
    assert bright > 2 * dark
    assert np.abs(called_for(bright, 0.4) - called_for(dark, 0.4)).max() > 20  # colours that a person can tell apart


def test_a_broker_that_goes_away_is_said_and_its_return_is_seen(screen: Screen, service: Service) -> None:
    screen.dim(0.9)
    screen.says("Live")
    service.broker.stop()
    screen.says("broker is away")
    with ExitStack() as back:
        if shutil.which("mosquitto"):  # another make of broker at the same address
            (service.folder / "mosquitto").mkdir(exist_ok=True)
            back.enter_context(mosquitto(service.folder / "mosquitto", service.broker_port))
        else:
            service.broker = start_embedded(service.broker_port, service.folder / "broker")
        screen.says("Live")
        screen.dim(0.2)
        service.broker.stop()  # where it was started again; the other make ends with this block
    screen.says("broker is away")  # else the words of before would be taken for the return
    service.broker = start_embedded(service.broker_port, service.folder / "broker")
    screen.says("Live")
