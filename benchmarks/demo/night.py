"""What a newcomer feels: how soon the help, the first map, and a sensor's message as a changed pixel.

    python benchmarks/demo/night.py [--folder DIR] [--changes N]

Starts the demo with its embedded broker, opens the Live page over one lamp in Chromium, switches that lamp by MQTT
messages of its own device, and waits until the pixel above it has become dark or bright. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# The colour under the middle of the map: the top-most data tile there, read from its own canvas.
PIXEL = """() => {
  const map = document.querySelector('.leaflet-container');
  if (!map) return null;
  const box = map.getBoundingClientRect();
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  for (const canvas of document.querySelectorAll('.leaflet-container canvas')) {
    const tile = canvas.getBoundingClientRect();
    if (x < tile.left || x >= tile.right || y < tile.top || y >= tile.bottom || canvas.width !== 256) continue;
    const at = [(x - tile.left) * canvas.width / tile.width, (y - tile.top) * canvas.height / tile.height];
    const colour = canvas.getContext('2d').getImageData(at[0] | 0, at[1] | 0, 1, 1).data;
    if (colour[3]) return colour[0] + colour[1] + colour[2];
  }
  return null;
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where the demo keeps its city folders")
    parser.add_argument("--changes", type=int, default=30)
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    figures: dict[str, object] = {"help_s": round(min(timed_help() for _ in range(7)), 3)}
    subprocess.run(
        [sys.executable, "-m", "noctule", "demo", "--prepare-only", "--folder", str(arguments.folder)], check=True
    )
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "noctule", "demo", "--folder", str(arguments.folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        broker = ""
        for line in demo.stdout:
            print(line.rstrip(), file=sys.stderr)
            broker = found[1] if (found := re.search(r"(mqtt://\S+)", line)) else broker
            if found := re.search(r"first map with data after ([\d.]+) s", line):
                figures["first_map_s"] = float(found[1])
                break
        figures |= watch_a_lamp(arguments.folder / "tonight" / "helsinki", port, broker, arguments.changes)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    print(json.dumps(figures, indent=1))
    return 0


def timed_help() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "noctule", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def watch_a_lamp(folder: Path, port: int, broker: str, changes: int) -> dict[str, object]:
    from playwright.sync_api import sync_playwright
    from pyproj import Transformer

    from ingest.mqtt import Publisher
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.wire import Sample, encode_pack, quantity_topic

    city = City.open(folder)
    clock = city_clock(folder)
    lamp = lonely_lamp(city)
    longitude, latitude = Transformer.from_crs(city.crs, 4326, always_xy=True).transform(
        lamp.geometry.x, lamp.geometry.y
    )
    device = f"lamp-{lamp.lamp}" if not str(lamp.lamp).startswith("lamp-") else str(lamp.lamp)
    topic = quantity_topic(city.settings.broker.root, city.id, device, "dimming")
    errors: list[str] = []
    foreign: list[str] = []
    with sync_playwright() as play, Publisher(broker, "benchmark") as publisher:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark").new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        origin = f"http://127.0.0.1:{port}"
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((origin, "data:", "blob:")) else foreign.append(asked.url),
        )
        start = time.perf_counter()
        page.goto(f"{origin}/?layer=light#18/{latitude:.6f}/{longitude:.6f}", wait_until="load")
        await_pixel(page, lambda colour: colour is not None, 30)
        loaded = time.perf_counter() - start
        taken, missed, seq = [], 0, 0
        levels = switch(publisher, topic, clock, encode_pack, Sample, page)
        for number in range(changes):
            target, seq = number % 2, seq + 1
            bright = sum(levels) / 2
            begun = time.perf_counter()
            send(publisher, topic, encode_pack, Sample, float(target), clock.now_ms(), seq + 100)
            if await_pixel(
                page,
                lambda colour, on=target, middle=bright: (colour or 0) > middle if on else (colour or 0) < middle,
                8,
            ):
                taken.append(time.perf_counter() - begun)
            else:
                missed += 1
            time.sleep(0.4 + 0.37 * (number % 3))
        browser.close()
    ordered = sorted(taken)
    return {
        "page_with_data_s": round(loaded, 2),
        "message_to_pixel_p50_s": round(statistics.median(ordered), 3) if ordered else None,
        "message_to_pixel_p95_s": round(ordered[int(0.95 * (len(ordered) - 1))], 3) if ordered else None,
        "changes_seen": len(ordered),
        "changes_missed": missed,
        "console_errors": errors,
        "off_origin_requests": foreign,
    }


def lonely_lamp(city):
    """A lamp with no other within 30 m, so that its cell is dark without it."""
    from scipy.spatial import cKDTree

    lamps = city.places("lamps")
    own = lamps[lamps.source == "openstreetmap"]
    tree = cKDTree([(point.x, point.y) for point in lamps.geometry])
    nearest = tree.query([(point.x, point.y) for point in own.geometry], k=2)[0][:, 1]
    alone = own[nearest > 30]
    return (alone if len(alone) else own.iloc[[nearest.argmax()]]).iloc[0]


def switch(publisher, topic, clock, encode_pack, sample, page) -> list[int]:
    """The pixel's brightness with the lamp off and on, once both have settled."""
    levels = []
    for number, level in enumerate((0.0, 1.0)):
        send(publisher, topic, encode_pack, sample, level, clock.now_ms(), number)
        time.sleep(4)
        levels.append(page.evaluate(PIXEL))
    return levels


def send(publisher, topic, encode_pack, sample, level, time_ms, seq) -> None:
    # A boot number of its own keeps these apart from the simulated device's messages.
    publisher.publish(topic, encode_pack([sample("dimming", time_ms, level)], boot=9_999, seq=seq))
    publisher.flush(5)


def await_pixel(page, wanted, timeout_s: float) -> bool:
    deadline = time.perf_counter() + timeout_s
    while time.perf_counter() < deadline:
        if wanted(page.evaluate(PIXEL)):
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    raise SystemExit(main())
