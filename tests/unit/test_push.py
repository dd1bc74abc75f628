"""What browsers are told when something changed, by one process or by several."""

from __future__ import annotations

import asyncio
import json

import pytest

from dashboard.app import build
from dashboard.push import Push
from dashboard.runs import Runs
from sensors.clock import city_clock
from tests import synthetic_atlas
from tests.synthetic_city import make_city
from tests.unit.test_app import ask


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("push") / "smalltown")
    synthetic_atlas.write_now(made, "2026-11-20", 3)
    return made


def pushing(city):
    return Push(Runs(city), city_clock(city.path))


def events(chunk):
    return [json.loads(line[6:]) for line in chunk.decode().splitlines() if line.startswith("data: ")]


def heard(city, role, change, processes=1):
    """What each of several processes tells a browser of this role, from its first words until a change came through."""

    async def listen():
        streams = [pushing(city).listen(role) for _ in range(processes)]
        first = [events(await anext(stream)) for stream in streams]
        next_ones = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.3)  # the first look is nobody's news
        change()
        done, waiting = await asyncio.wait(next_ones, timeout=2)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return first, [events(one.result()) for one in next_ones if one in done]

    return asyncio.run(listen())


def test_a_stream_begins_with_what_stands_and_every_process_gives_it_and_each_change_the_same_name(city):
    first, then = heard(city, "viewer", lambda: synthetic_atlas.write_now(city, "2026-11-20", 3, 1.0), processes=2)
    assert [event["layer"] for [event] in first] == ["standing"] * 2
    assert [event["layer"] for [event] in then] == ["now"] * 2
    versions = [{event["version"] for [event] in told} for told in (first, then)]
    assert all(len(one) == 1 for one in versions) and versions[0] != versions[1]


def test_a_role_that_may_not_see_tonight_hears_nothing_of_it(city):
    first, then = heard(city, "public", lambda: synthetic_atlas.write_now(city, "2026-11-20", 3, 2.0))
    assert first == [[]] and then == []


def test_the_scene_says_which_state_it_shows_in_the_words_of_the_stream(city):
    app = build(city.path, switch=True, warm=False)

    async def first(role):
        stream = pushing(city).listen(role)
        told = events(await anext(stream))
        await stream.aclose()
        return told

    [standing] = asyncio.run(first("viewer"))
    assert json.loads(ask(app, "/live/scene", role="viewer")[2])["standing"] == standing["version"]
    assert "standing" not in json.loads(ask(app, "/live/scene", role="public")[2])


def test_streams_end_when_the_process_does(city):
    async def until_the_end():
        push = pushing(city)
        stream = push.listen("viewer")
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        push.end()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 1)

    asyncio.run(until_the_end())


def test_a_proxy_is_told_not_to_gather_events(city):
    app = build(city.path, switch=True, warm=False)
    sent = []

    async def listen():
        async def receive():
            await asyncio.sleep(0.1)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/live/events", "query_string": b"",
                 "headers": [(b"host", b"127.0.0.1:8050")]}  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(listen())
    told = dict(sent[0]["headers"])
    assert sent[0]["status"] == 200 and told[b"content-type"] == b"text/event-stream"
    assert told[b"x-accel-buffering"] == b"no" and told[b"cache-control"] == b"no-store"
