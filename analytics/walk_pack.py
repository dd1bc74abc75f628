"""What a group takes on its walk: a booklet, a poster, and the sheet to key answers into, in English and French.

Everything comes from the city's folder and nothing from a network. The same walk gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analytics.phrases import LANGUAGES, Phrases, phrases
from analytics.typeset import pdf
from analytics.walk_map import route_map, stop_map
from analytics.walk_route import Route, route_of
from analytics.walk_sheet import INSTRUMENT, WHO, sheet_csv, sheet_rows, sheet_xlsx
from analytics.walk_times import beginning, day_named, ordered
from sensors.answer import CODES
from sensors.city import City
from sensors.errors import ExportError, WalkError
from sensors.instrument import load_instrument
from sensors.walk import LONGEST_URL, Walk, settings_problems

ACTION_COLUMNS = ("title", "owner", "due", "stop")
ROUTE_SHAPE, STOP_SHAPE = 1.05, 0.62  # height by width of the two maps
_LOOK = ("look_light", "look_sight", "look_people", "look_sound", "look_paths", "look_out")
_CONSENT = ("consent_free", "consent_kept", "consent_told", "consent_erase")
_HOW = ("how_twice", "how_stand", "how_answer", "how_place")
_CARE = ("care_lead", "care_bring", "care_pass", "care_leave", "care_road")
_STARTS = {"day": "route_day", "dark": "route_dark"}


def write_pack(city: City, walk: Walk, out: Path, *, url: str = "", participants: int = 12) -> list[Path]:
    """Write the pack of a walk into a folder; gives its files.

    url : where the city's answer form is reached, the walk's own when empty; without one there are no codes
    """
    import msgspec

    settings = msgspec.structs.replace(walk.settings, url=(url or walk.settings.url).rstrip("/"))
    if problems := settings_problems(settings, walk.id):
        raise WalkError(problems[0])
    walk = Walk(settings, walk.stops)
    route = route_of(city, walk)
    content, pictures = pack_content(city, walk, route)
    rows = sheet_rows(city, walk, route, participants)
    files: dict[str, Callable[[], bytes]] = {
        "booklet.pdf": lambda: pdf("walk-booklet", content, pictures),
        "poster.pdf": lambda: pdf("walk-poster", content, pictures),
        "keying-sheet.xlsx": lambda: sheet_xlsx(rows),
        "keying-sheet.csv": lambda: sheet_csv(rows).encode(),
        "route.svg": lambda: pictures["route.svg"].encode(),
        "actions.csv": lambda: (",".join(ACTION_COLUMNS) + "\n").encode(),
    }
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, made in files.items():
            if name == "actions.csv" and (out / name).exists():
                continue  # somebody may have typed into it
            beside = out / f".{name}.new"
            beside.write_bytes(made())
            beside.replace(out / name)
            written.append(out / name)
    except OSError as error:
        raise ExportError(f"{out} cannot be written ({error.strerror})") from error
    return written


def pack_content(city: City, walk: Walk, route: Route) -> tuple[dict[str, Any], dict[str, str]]:
    """What the templates of booklet and poster are filled with: words and numbers, and pictures by name."""
    url = walk.settings.url
    codes = {f"code-{stop}.svg": code(f"{url}/ask?walk={walk.id}&stop={stop}") for stop in walk.stops.index if url}
    pictures = {
        "route.svg": route_map(city, walk, route, ROUTE_SHAPE),
        **{f"stop-{stop}.svg": stop_map(city, walk, route, int(stop), STOP_SHAPE) for stop in walk.stops.index},
        **codes,
        **({"code.svg": code(f"{url}/ask?walk={walk.id}")} if url else {}),
    }
    following = [*walk.stops.index[1:], *walk.stops.index[:1]]
    stops = []
    for at, stop in enumerate(walk.stops.itertuples()):
        leg = float(route.legs_m[at]) if at < len(route.legs_m) else None
        stops.append({"number": int(stop.Index), "label": stop.label, "leg_m": leg, "next": int(following[at])})
    content = {
        "simulated": city.simulated,
        "city": city.name,
        "title": walk.title,
        "id": walk.id,
        "url": url,
        "address": f"{url.split('://')[-1]}/ask?walk={walk.id}" if url else "",
        "states": ordered(walk.settings.light_states),
        "stops": stops,
        "attribution": ", ".join(city.settings.attribution),
        "say": {language: _said(city, walk, route, phrases(language)) for language in LANGUAGES},
    }
    return content, pictures


def code(address: str) -> str:
    """An address as a QR code, SVG; it still reads with a seventh of it worn off."""
    import io

    import segno

    if len(address) > LONGEST_URL + 80:
        raise WalkError(f"the address {address[:60]}... is too long for a code that a phone can read")
    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(out, kind="svg", border=4, scale=8, xmldecl=False, svgns=True)
    return out.getvalue().decode()


def _said(city: City, walk: Walk, route: Route, say: Phrases) -> dict[str, Any]:
    """Everything that is said in one language."""
    purpose, tool = city.settings.purpose, load_instrument(INSTRUMENT)
    states = walk.settings.light_states
    starts = {state: f"{beginning(city, walk, route, state):%H:%M}" for state in states}
    plain = (
        "booklet", "cover_lead", "participant", "participant_note", "phone", "phone_note", "no_phone", "purpose_title",
        "consent_title", "how_title", "care_title", "route_title", "about_title", "about_note", "day", "dark",
        "question_note", "look_title", "look_helps", "look_disturbs", "notes", "wishes_title", "wishes_note",
        "wish_what", "wish_where", "wish_who", "wish_when", "poster_lead", "poster_scan",
    )  # fmt: skip
    said: dict[str, Any] = {name: say(f"walk.{name}") for name in plain}
    said |= {
        "date": day_named(walk.date, say.language),
        "purpose": _purpose(say, purpose.uses, purpose.responsible, purpose.excluded),
        "consent": [say(f"walk.{one}") for one in _CONSENT],
        "how": [say(f"walk.{one}") for one in _HOW],
        "care": [say(f"walk.{one}") for one in _CARE],
        "look": [say(f"walk.{one}") for one in _LOOK],
        "length": say(
            "walk.route_length", stops=len(walk.stops), km=say.number(route.length_m / 1000, 1),
            minutes=say.number(route.minutes),
        ),
        "loop": say("walk.route_loop") if walk.settings.loop else "",
        "starts": [say(f"walk.{_STARTS[state]}", time=starts[state]) for state in ordered(states)],
        "legs": [
            say("walk.route_leg", metres=say.number(float(leg)), stop=stop)
            for leg, stop in zip(route.legs_m, [*walk.stops.index[1:], walk.stops.index[0]], strict=False)
        ],
        "stops": [say("walk.stop", number=int(stop)) for stop in walk.stops.index],
        "who": [
            {
                "of": say(f"walk_of.{column}"),
                "codes": [say(f"walk_code.{column}_{one}") for one in CODES[column][:-1]],
            }
            for column in WHO
        ],
        "question": say.typeset(tool.items[0].words[say.language]),
        "answers": list(tool.items[0].answers[say.language]),
        "meet": say("walk.poster_meet", date=day_named(walk.date, say.language), **starts) if len(starts) > 1 else "",
        "foot": say("walk.foot", city=city.name, title=walk.title, date=day_named(walk.date, say.language)),
        "map_note": say("walk.map_note", attribution=", ".join(city.settings.attribution))
        if city.settings.attribution
        else "",
        "simulated": say("word.simulated"),
    }  # fmt: skip
    return said


def _purpose(say: Phrases, uses: tuple[str, ...], responsible: str, excluded: tuple[str, ...]) -> list[str]:
    """What it is for: our words, then what the city's settings say, as they say it but for our own defaults."""

    def known(use: str) -> str:
        return say.texts.get(f"excluded.{use}", use)

    return [
        say("walk.purpose"),
        *([say("walk.uses", uses=", ".join(map(known, uses)))] if uses else []),
        *([say("walk.responsible", responsible=responsible)] if responsible else []),
        *([say("walk.excluded", excluded=", ".join(map(known, excluded)))] if excluded else []),
    ]
