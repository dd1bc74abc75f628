"""Nothing private leaves: words planted in answers, messages and secrets come out of no door of the running service.

A client asks for everything that can be asked, in every role, in every format and with foul addresses; then the shelves
that others may read and everything that the processes printed are searched as well. What may keep them is named here:
the answers' own shelf and ingest's log.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zstandard

from analytics import atlas
from analytics.export import export
from dashboard.palette import RAMPS
from dashboard.roles import ROLES
from ingest.archive import answers
from ingest.health import health_path, read_health
from sensors.night import Night
from tests.journeys.service import NIGHT, SECRET, Service

pytestmark = pytest.mark.broker

DEVICE, NOTE = "planted-device-77", "planted-payload-do-not-show"
MAC = "de:ad:be:ef:77:01"
PLACES = ("/", "/research", "/plan", "/about")
Planted = dict[str, tuple[bytes, ...]]  # what it is -> the words that give it away when they come out together
FOUL = (
    "/secrets.toml", "/../secrets.toml", "/assets/../../secrets.toml", "/assets/%2e%2e/%2e%2e/secrets.toml",
    "/store/answers/key", "/store/log", "/nothing", "/tiles/v/smalltown/safety/answers/0/1/15/0-0/0-0.bin",
    "/tiles/v/../secrets.toml", "/overlay/answers.json", "/overlay/journal.json", "/live/scene?run=../answers",
    "/live/scene?run=plan-../../answers", "/export?night=../answers&format=csv",
    "/_dash-component-suites/../secrets.toml",
    "/export?night=2026-11-20&format=sqlite", "/?at=%00&t=%00&lang=%27%22%3E%3Cscript%3E", "/openapi.json", "/docs",
)  # fmt: skip
FORMATS = {
    "netcdf": "out.nc", "cog": "out.tif", "csv": "out.csv", "geojson": "out.geojson", "geoparquet": "out.parquet",
    "zarr": "out.zarr",
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(service: Service) -> Planted:
    """What must come out nowhere, by what it is; the messages are sent and refused by now."""
    pack = json.dumps([{"n": "sound_laeq", "u": "dB", "v": 55, "vs": NOTE, "mac": MAC}]).encode()
    refused = read_health(service.city)["counts"]["refused"]
    for topic in (f"noctule/{service.city.id}/{DEVICE}/sound-laeq", f"noctule/{service.city.id}/meter-00/{NOTE}"):
        service.send(topic, pack)
        service.send(topic, NOTE.encode())
    service.send(f"noctule/{service.city.id}/{DEVICE}/status", NOTE.encode())
    service.until(lambda: read_health(service.city)["counts"]["refused"] >= refused + 4, "four refusals")
    service.until(lambda: service.city.shelf("atlas", NIGHT, "current.json").is_file(), "a closed step")
    kept = answers(service.city)
    words = {
        "a secret": [SECRET],
        "the key of the pseudonyms": [(service.city.shelf("answers") / "key").read_text("utf-8").strip()],
        "a device that nobody registered": [DEVICE],
        "a payload": [NOTE, MAC],
        "a response": [*service.answers["response_id"], *kept["response_id"]],
        "a pseudonym": [*service.answers["pseudonym"], *kept["pseudonym"]],
        "a remark": [*service.answers["remark"]],
        "an exact moment": [*service.answers["time"]],
    }
    told: Planted = {f"{what}: {word}": (word.encode(),) for what, all_ in words.items() for word in all_ if word}
    for lon, lat in service.answers[["lon", "lat"]].to_numpy():  # to a tenth of a metre; one number alone says nothing
        told[f"a raw place: {lon}, {lat}"] = (lon[:-1].encode(), lat[:-1].encode())
    return told


def found_in(body: bytes, planted: Planted) -> list[str]:
    lower = body.lower()
    return [what for what, words in planted.items() if _together(lower, [word.lower() for word in words])]


def _together(body: bytes, words: list[bytes]) -> bool:
    """Whether all words stand in a body, and two of them beside each other in either order."""
    if not all(word in body for word in words):
        return False
    orders = (words, words[::-1])
    return len(words) == 1 or any(re.search(rb".{0,12}".join(map(re.escape, order)), body) for order in orders)


class Client:
    """Asks as a role, without tidying addresses as a browser would."""

    def __init__(self, service: Service, role: str) -> None:
        self.port, self.role = service.port, role

    def ask(self, path: str, body: bytes | None = None, most: int = -1) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"cookie": f"noctule_role={self.role}", "accept-encoding": "gzip", "content-type": "application/json"}
        try:
            connection.putrequest("GET" if body is None else "POST", path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body or b"")))
            connection.endheaders(body)
            answer = connection.getresponse()
            head = f"{answer.status} {answer.headers}".encode()
            got = answer.read(most) if most > 0 else answer.read()
        finally:
            connection.close()
        if answer.headers.get("content-encoding") == "gzip" and got:
            got = zlib.decompressobj(31).decompress(got)
        return answer.status, head + got

    def page(self, path: str, search: str) -> tuple[int, bytes]:
        """What Dash fills a page with."""
        inputs = [
            {"id": "url", "property": "pathname", "value": path},
            {"id": "url", "property": "search", "value": search},
        ]
        return self.call("page.children", {"id": "page", "property": "children"}, inputs)

    def place(self, run: str, frame: int, layer: str, lon: float, lat: float) -> tuple[int, bytes]:
        """The words of a place."""
        reading = {"lon": lon, "lat": lat, "run": run, "frame": frame, "layer": layer}
        outputs = [{"id": "details-body", "property": "children"}, {"id": "details", "property": "hidden"}]
        return self.call("..details-body.children...details.hidden..", outputs,
                         [{"id": "map", "property": "reading", "value": reading}],
                         [{"id": "url", "property": "search", "value": "?lang=en"}])  # fmt: skip

    def call(self, output: str, outputs: object, inputs: list[object], state: object = ()) -> tuple[int, bytes]:
        content = {"output": output, "outputs": outputs, "inputs": inputs, "state": list(state), "changedPropIds": []}
        return self.ask("/_dash-update-component", json.dumps(content).encode())


def everything(client: Client, service: Service) -> Iterator[tuple[str, int, bytes]]:
    """Every address that this service answers, and some that it must not: what was asked, status, headers and body."""
    for path in (*PLACES, "/_dash-layout", "/_dash-dependencies", *FOUL):
        status, body = client.ask(path)
        yield path, status, body
        for linked in sorted(set(re.findall(rb'(?:src|href)="(/[^"]+)"', body)))[:60]:
            if path == "/" and client.role == "public":  # scripts are the same for all
                yield linked.decode(), *client.ask(linked.decode())
    for path in PLACES:
        for language in ("en", "fr"):
            yield f"{path} in {language}", *client.page(path, f"?lang={language}&night={NIGHT}")
    for run in ("", "now", NIGHT, f"public-{NIGHT}", "plan-none"):
        status, body = client.ask(f"/live/scene?lang=en&run={run}")
        yield f"scene {run}", status, body
    for kind in ("lamps", "venues", "stops", "sensors"):
        yield kind, *client.ask(f"/overlay/{kind}.json?lang=en")
    for form in ("netcdf", "cog", "csv"):
        yield f"export {form}", *client.ask(f"/export?night={NIGHT}&format={form}&layer=safety")
    yield "events", *client.ask("/live/events", most=10)
    _, now = atlas.open_now(service.city)
    x, y = tile_of(service)
    for layer in RAMPS:
        path = f"/tiles/v/{service.city.id}/{layer}/now/0/{now['version']}/15/{x}-{x}/{y}-{y}.bin"
        yield f"tile {layer}", *client.ask(path)
    for lon, lat in service.answers[["lon", "lat"]].astype(float).head(4).to_numpy():
        yield "place", *client.place("now", 0, "safety", lon + 2e-5, lat)
    for junk in (b"", b"{", b"[]", b'{"output":"../secrets.toml","inputs":[]}', b"\xff" * 100):
        yield "junk", *client.ask("/_dash-update-component", junk)
    yield "role", *client.ask("/role", b"role=planner")


def tile_of(service: Service) -> tuple[int, int]:
    lon, lat = service.answers[["lon", "lat"]].astype(float).mean()
    slope = np.arcsinh(np.tan(np.radians(lat))) / np.pi
    return int((lon + 180) / 360 * 2**15), int((1 - slope) / 2 * 2**15)


@pytest.mark.parametrize("role", ROLES)
def test_no_answer_to_any_question_holds_what_was_planted(service: Service, planted: Planted, role: str) -> None:
    statuses: dict[str, int] = {}
    for asked, status, body in everything(Client(service, role), service):
        statuses[asked] = status
        assert found_in(body, planted) == [], asked
    assert statuses["/"] == statuses["/ in en"] == statuses["lamps"] == 200
    assert {path: statuses[path] for path in FOUL if statuses[path] not in (200, 400, 403, 404)} == {}
    assert (statuses["tile safety"], statuses["export csv"]) == {
        "public": (403, 403), "partner": (403, 403), "viewer": (200, 403), "planner": (200, 403),
        "researcher": (200, 200), "admin": (200, 200),
    }[role]  # fmt: skip


def test_exports_in_every_format_hold_fields_and_nothing_of_persons(service: Service, planted: Planted) -> None:
    for form, name in FORMATS.items():
        night = Night.named(NIGHT, service.city.zone)
        layer = None if form in ("netcdf", "zarr") else "safety"
        out = export(service.city, night, form, service.folder / name, layer=layer)
        for file in [out] if out.is_file() else sorted(out.rglob("*")):
            if file.is_file():
                assert found_in(opened(file), planted) == [], file
    with xr.open_dataset(service.folder / "out.nc") as data:
        assert {"time", "northing", "easting", "bounds"} >= {
            str(size) for name in data.data_vars for size in data[name].dims
        }


def test_neither_the_shelves_that_others_read_nor_the_processes_words_hold_it(
    service: Service, planted: Planted
) -> None:
    searched = 0
    for shelf in ("atlas", "public", "health", "model"):
        for file in sorted(service.city.shelf(shelf).rglob("*")):
            if file.is_file():
                searched += 1
                assert found_in(opened(file), planted) == [], file
    assert searched > 20
    assert health_path(service.city).is_file()
    assert found_in(service.said(), planted) == []
    # The search itself finds what is there to be found: in the log, where a refused message is kept as it came.
    log = b"".join(opened(file) for file in service.city.shelf("log").rglob("*") if file.is_file())
    assert any(what.startswith("a payload") for what in found_in(log, planted))


def opened(file: Path) -> bytes:
    """A file's bytes, and behind them what its compressed parts unpack to."""
    raw = file.read_bytes()
    parts = [raw]
    for at in (match.start() for match in re.finditer(re.escape(b"\x28\xb5\x2f\xfd"), raw)):  # zstd frames
        try:
            parts.append(zstandard.ZstdDecompressor().decompressobj().decompress(raw[at:]))
        except zstandard.ZstdError:
            continue
    if raw[:2] == b"\x1f\x8b":
        parts.append(gzip.decompress(raw))
    return b"\n".join(parts)
