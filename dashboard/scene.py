"""What a page needs to draw itself: its frames and their versions, how fresh everything is, and that in words.

The browser asks for a scene when it opens a page and whenever it is told that something changed. Sentences are made
here, in the language asked for, so that the browser holds no words of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dashboard.build_digest import build_digest
from dashboard.delay import nights_of
from dashboard.roles import may
from dashboard.runs import NOW, PLAN, PUBLIC, Run, Runs
from dashboard.scales import USUAL
from dashboard.usual import level_of, usual_told
from dashboard.words import Words
from ingest.health import read_health
from sensors.city import City
from sensors.clock import Clock
from sensors.journal import read_journal
from sensors.night import Night, Times, local_offset, night_of, parse_rfc3339, rfc3339

Scene = dict[str, Any]

_SAID = ("before-dusk", "no-model", "trouble")  # states with a sentence of their own, even over an empty map
_LAST_HOURS = np.timedelta64(12, "h")
_STALE_MIN = 20.0  # minutes of city time; counters report every 5 or 15 minutes
_STALE_WALL_S = 20.0  # and in a fast clock at least so many seconds of ours, so that a demo does not cry wolf


@dataclass(frozen=True)
class Viewer:
    """Who looks, and in which language."""

    role: str
    say: Words


def live_scene(runs: Runs, clock: Clock, viewer: Viewer) -> Scene:
    """Tonight as it happens, or what comes nearest: the night before, or nothing yet."""
    if not may(viewer.role, "live"):
        nights = nights_of(viewer.role, runs, clock)
        return night_scene(runs, clock, viewer, nights[-1] if nights else "")
    now = runs.get(NOW)
    state = str(now.meta.get("state", "after")) if now is not None else "none"
    mapper = "" if now is None else str(now.meta.get("mapper", ""))
    if now is not None and state == "live" and not now.times.size:
        state = "no-model" if mapper == "no-model" else "trouble"
    nights = runs.nights()
    if now is None or state != "live":
        # Before dusk the page of tonight has no step yet, so the last night that has one is shown.
        shown = next((name for name in reversed(nights) if _closed(runs, name)), "")
        scene = night_scene(runs, clock, viewer, shown)
        scene["state"] = state if shown or state in _SAID else "empty"
        scene["words"] |= _resting_words(runs.city, viewer, scene["state"], shown)
        return scene
    return _tonight(runs, now, clock, viewer)


def night_scene(runs: Runs, clock: Clock, viewer: Viewer, name: str) -> Scene:
    """A past night, a public night or a plan; an empty scene where there is none."""
    say = viewer.say
    run = runs.get(name) if name else None
    if run is None:
        if name.startswith(PLAN):
            words = {"title": say("title.plan"), "status": say("status.plan"), "banner": say("plan.uncomputed")}
            return _scene(runs.city, clock, "empty", "", [], None, words)
        key = "empty.none" if may(viewer.role, "nights") else "empty.public"
        words = {"title": say("title.empty"), "status": say("status.empty"), "banner": say(key)}
        return _scene(runs.city, clock, "empty", "", [], None, words)
    title = say("title.night", day=say.day(run.night)) if run.night else say("title.plan")
    status = say("status.replay")
    if name.startswith(PLAN):
        title, status = say("title.plan"), say("status.plan")
    if name.startswith(PUBLIC):
        title = say("title.public", day=say.day(run.night))
    words = {"title": title, "status": status, "banner": "", "sensors": _coverage(run, say)}
    frames = [_frame(run.name, run.versions[i], time, say, runs.city) for i, time in enumerate(run.times)]
    scene = _scene(runs.city, clock, "replay", run.night, frames, None, words)
    scene["simulated"] = sorted(runs.simulated(run))
    scene["layers"] = list(run.layers)
    scene["journal"] = journal_marks(runs.city, run.times, say)
    _compare(scene, runs, run, say)
    return scene


def journal_marks(city: City, times: npt.NDArray[np.datetime64], say: Words) -> list[dict[str, Any]]:
    """Entries of the city's journal within the frames: where on the bar they begin and end (0..1), and their words."""
    if times.size < 2:
        return []
    marks = []
    places = times.astype("datetime64[ms]").astype(np.float64)
    journal = read_journal(city)
    starts = journal["start_time"].to_numpy("datetime64[ms]")
    stops = journal["end_time"].to_numpy("datetime64[ms]")
    for kind, title, begins, stop in zip(journal["kind"], journal["title"], starts, stops, strict=True):
        ends = begins if np.isnat(stop) else stop
        if np.isnat(begins) or ends < times[0] or begins > times[-1]:
            continue
        # By the steps on the bar, which leaves the day between two nights out.
        first, last = np.interp([_ms(begins), _ms(ends)], places, np.linspace(0, 1, times.size)).tolist()
        at = say.clock(begins, city.zone) if begins >= times[0] else say.moment(begins, city.zone)
        marks.append(
            {
                "from": first,
                "to": last,
                "text": say("journal.mark", time=at, kind=say(f"journal.{kind}"), title=title),
            }
        )
    return marks


def _ms(moment: np.datetime64) -> float:
    return float(moment.astype("datetime64[ms]").astype(np.int64))


def last_hours(runs: Runs, night: str, until: np.datetime64, say: Words) -> tuple[list[dict[str, Any]], Times]:
    """Closed steps of the night before within the last twelve hours, as frames, with their starts.

    Where nights are long, tonight begins while last night's end is still among them.
    """
    name = Night.named(night, runs.city.zone).previous().name
    run = runs.get(name)
    if run is None:
        return [], np.array([], "datetime64[ms]")
    recent = [
        place
        for place, (time, version) in enumerate(zip(run.times, run.versions, strict=True))
        if version is not None and time >= until - _LAST_HOURS
    ]
    frames = [
        _frame(name, run.versions[place], run.times[place], say, runs.city) | {"frame": place} for place in recent
    ]
    if frames:
        frames[-1]["ends"] = True  # the bar shows where a night ends and the next begins
    return frames, run.times[recent]


def _tonight(runs: Runs, now: Run, clock: Clock, viewer: Viewer) -> Scene:
    city, say = runs.city, viewer.say
    settings = city.settings.night
    steps = Night.named(now.night, city.zone).steps(settings.from_, settings.to, settings.step_minutes)
    run = runs.get(now.night)
    closed = {} if run is None else dict(zip(run.times, run.versions, strict=True))
    frames = [_frame(now.night, closed.get(time), time, say, city) for time in steps]
    # The place in `now` is always 0; the bar's place is where its step lies in the night.
    place = int(np.searchsorted(steps, now.times[0])) if now.times.size else -1
    live = None
    if 0 <= place < len(frames) and steps[place] == now.times[0]:
        live = place
        frames[place] |= {"run": NOW, "version": now.versions[0], "frame": 0}
    until = parse_rfc3339(now.meta["as_of"])
    earlier, times = last_hours(runs, now.night, until, say)
    if earlier:
        frames = [*earlier, *({"frame": place} | _told(frame) for place, frame in enumerate(frames))]
        live = None if live is None else live + len(earlier)
        steps = np.concatenate([times, steps])
    scene = _scene(city, clock, "live", now.night, frames, live, _live_words(city, now, clock, viewer))
    scene["simulated"] = sorted(runs.simulated(now) | (runs.simulated(run) if run else set()))
    scene["layers"] = list(now.layers)
    scene["journal"] = journal_marks(city, steps, say)
    scene["alert"] = scene["words"].pop("alert")
    _compare(scene, runs, now, say)
    return scene


def _told(frame: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in frame.items() if key != "frame" or value is not None}


def _compare(scene: Scene, runs: Runs, run: Run, say: Words) -> None:
    """Offer the comparison with the usual; simulated like the layer that is compared."""
    if run.name.startswith(PLAN):
        return
    told = usual_told(runs.usual, run.night, level_of(run.name), run.layers, say)
    scene["usual"] = told
    scene["simulated"] += [layer for layer in told["layers"] if USUAL[layer] in scene["simulated"]]


def _live_words(city: City, now: Run, clock: Clock, viewer: Viewer) -> dict[str, Any]:
    """Title, status and the two clocks: sensors, and answers."""
    say, zone = viewer.say, city.zone
    sensors, answers = now.meta.get("sensors") or {}, now.meta.get("answers") or {}
    as_of, mapper = parse_rfc3339(now.meta["as_of"]), now.meta.get("mapper")
    words = {
        "title": say("title.live"),
        "status": say("status.live", time=say.clock(as_of, zone)),
        "clock": say.clock(as_of, zone),
        "banner": _nobody_answered(city, str(mapper), say),
        "sensors": say("clock.sensors.none"),
        "answers": say("clock.answers.none"),
        "alert": "",
    }
    if sensors.get("newest"):
        newest = parse_rfc3339(sensors["newest"])
        silent = int(sensors.get("silent", 0))
        words["sensors"] = say("clock.sensors", time=say.clock(newest, zone), live=say.number(int(sensors["live"])))
        if silent:
            words["sensors"] += " " + say("clock.silent", count=say.number(silent))
        minutes = (clock.now() - newest) / np.timedelta64(1, "m")
        if minutes > max(_STALE_MIN, _STALE_WALL_S * clock.speed / 60):
            words["alert"] = words["status"] = _stale(minutes, say)
    if answers.get("count"):
        words["answers"] = say.many("clock.answers", int(answers["count"]))
        if answers.get("newest"):
            age = (clock.now() - parse_rfc3339(answers["newest"])) / np.timedelta64(1, "D")
            words["answers"] += " " + (say("clock.today") if age < 1 else say.many("clock.age", int(age)))
    health = read_health(city)
    if health["state"] != "connected":
        since = health.get("since")
        at = say.clock(parse_rfc3339(since), zone) if since else ""
        key = "status.retrying" if health["state"] == "retrying" else "status.stopped"
        words["alert"] = words["status"] = say(key) + (" " + say("status.since", time=at) if at else "")
    return words


def _nobody_answered(city: City, mapper: str, say: Words) -> str:
    """What is said over a map without answers, with where to give the first where the city asks."""
    if mapper not in ("no-answers", "shares-alone"):
        return ""
    return say(f"empty.{mapper}") + (" " + say("empty.ask") if city.settings.asking.form else "")


def _stale(minutes: float, say: Words) -> str:
    """How long nothing was heard, in the unit that a person would use."""
    for unit, length in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * length:
            return say(f"status.stale.{unit}", count=say.number(int(minutes / length)))
    return say("status.stale.minutes", count=say.number(int(minutes)))


def _resting_words(city: City, viewer: Viewer, state: str, shown: str) -> dict[str, str]:
    """The banner while no night is under way."""
    say = viewer.say
    if state == "before-dusk":
        below = say("empty.below", day=say.day(shown)) if shown else say("empty.nothing-below")
        return {"banner": say("empty.before-dusk", time=city.settings.night.from_) + " " + below}
    if state == "no-model":
        return {"banner": say("empty.no-model")}
    if state == "trouble":
        return {"banner": say("empty.trouble")}
    if state == "after" and shown:
        return {"banner": say("empty.after", time=city.settings.night.from_, day=say.day(shown))}
    return {}


def _closed(runs: Runs, name: str) -> bool:
    run = runs.get(name)
    return run is not None and run.last is not None


def _coverage(run: Run, say: Words) -> str:
    closed = sum(version is not None for version in run.versions)
    return say("research.coverage", closed=say.number(closed), steps=say.number(len(run.versions)))


def _frame(run: str, version: str | None, time: np.datetime64, say: Words, city: City) -> dict[str, Any]:
    index = None  # the place in the night is the place on the bar
    return {"label": say.clock(time, city.zone), "at": rfc3339(time), "run": run, "version": version, "frame": index}


def _scene(
    city: City,
    clock: Clock,
    state: str,
    night: str,
    frames: list[dict[str, Any]],
    live: int | None,
    words: dict[str, Any],
) -> Scene:
    now = clock.now()
    wall = int((now + local_offset(np.array([now]), city.zone)[0]).astype("datetime64[ms]").astype(np.int64))
    return {
        "state": state,
        "night": night,
        "tonight": night_of(now, city.zone).name,
        "frames": frames,
        "live": live,
        "layers": [],
        "simulated": [],  # layers behind which anything is simulated
        "journal": [],
        "build": build_digest(),
        "usual": {"digest": "", "layers": [], "words": ""},
        "alert": "",
        "clock": {"local_ms": wall, "speed": clock.speed, "zone": city.zone.key},
        "words": {"sensors": "", "answers": "", "clock": "", **words},
    }
