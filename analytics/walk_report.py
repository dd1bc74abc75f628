"""The two pages that a walk ends with: who took part, what groups said, how much surer the map became, what was agreed.

One content in English or French, as a page that needs nothing else and as a PDF of two pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from analytics.phrases import Phrases
from analytics.typeset import pdf
from analytics.walk_map import route_map
from analytics.walk_route import Route
from analytics.walk_sureness import Sureness
from analytics.walk_times import day_named
from analytics.walk_told import Place, WalkTold
from sensors.city import City
from sensors.journal import Entry
from sensors.walk import Walk

MOST_PLACES, MOST_PARTS, MOST_ACTIONS = 16, 10, 10  # rows on paper; the page that is no paper has them all
MOST_AGREE = 95  # per cent
_LONGEST_CELLS = (110, 50, 40)  # characters on paper, of the first column and of those after it
_STYLE = (
    "body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "h1{color:#2b2350;margin-bottom:0}h2{color:#2b2350;margin-top:2rem}.simulated{border:3px double #2b2350;"
    "padding:.4rem .8rem;font-weight:700}table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.3rem .8rem;"
    "text-align:left;border-bottom:1px solid #ccc;vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap}"
    ".wide{overflow-x:auto}.note{color:#444}@media print{body{margin:0;max-width:none}}"
)


@dataclass(frozen=True)
class Report:
    """All that is told of a walk once it is closed; `sure` is None where it was closed without a new fit."""

    city: City
    walk: Walk
    route: Route
    told: WalkTold
    sure: Sureness | None
    actions: list[Entry]


def report_content(report: Report, say: Phrases) -> dict[str, Any]:
    """The report's words and tables in one language."""
    city, walk, told = report.city, report.walk, report.told
    rule = city.settings.release
    date = day_named(walk.date, say.language)
    return {
        "language": say.language,
        "simulated": say("word.simulated") if city.simulated else "",
        "title": say("walk_report.title"),
        "subtitle": say("walk_report.subtitle", title=walk.title, date=date, city=city.name),
        "verdict": say("walk_report.verdict"),
        "who_title": say("walk_report.who_title"),
        "who": _who(told, say),
        "parts": _parts(told, say),
        "said_title": say("walk_report.said_title"),
        "said": _said(told, say),
        "places": _places(walk, told, say),
        "rule": say("walk_report.rule", people=rule.minimum_people, share=say.percent(rule.maximum_share)),
        "route": say("walk.route_title"),
        "sure_title": say("walk_report.sure_title"),
        "sure": _sure(report, say),
        "actions_title": say("walk_report.actions_title"),
        "actions": _actions(report.actions, say),
        "journal": say("walk_report.journal") if report.actions else say("walk_report.actions_none"),
        "again": say("walk_report.again", id=walk.id),
        "attribution": ", ".join(city.settings.attribution),
    }


def report_html(report: Report, say: Phrases) -> str:
    """The page; everything in it is text and tables."""
    content = report_content(report, say)
    parts = [f"<h1>{escape(content['title'])}</h1><p>{escape(content['subtitle'])}</p>"]
    if content["simulated"]:
        parts.append(f"<p class=simulated>{escape(content['simulated'])}</p>")
    parts.append(f"<p><strong>{escape(content['verdict'])}</strong></p>")
    for key, tables in (("who", ["parts"]), ("said", ["places"]), ("sure", []), ("actions", ["actions"])):
        parts.append(f"<h2>{escape(content[f'{key}_title'])}</h2>")
        if key != "actions":
            parts += [f"<p>{escape(text)}</p>" for text in content[key]]
        parts += [_table(content[table]) for table in tables if content[table]["rows"]]
        if key == "said":
            parts.append(f"<p class=note>{escape(content['rule'])}</p>")
    parts.append(f"<p>{escape(content['journal'])}</p><p class=note>{escape(content['again'])}</p>")
    if content["attribution"]:
        parts.append(f"<p class=note>{escape(content['attribution'])}</p>")
    return (
        f'<!doctype html><html lang={say.language}><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(content['title'])}: {escape(report.walk.title)}</title><style>{_STYLE}</style><main>"
        + "".join(parts)
        + "</main></html>\n"
    )


def report_pdf(report: Report, say: Phrases) -> bytes:
    """The same on two pages of paper, long tables cut with a word on it."""
    return pdf(
        "walk-report", paper_content(report, say), {"route.svg": route_map(report.city, report.walk, report.route)}
    )


def paper_content(report: Report, say: Phrases) -> dict[str, Any]:
    """The content as it fits on two pages."""
    content = report_content(report, say)
    for name, most in (("places", MOST_PLACES), ("parts", MOST_PARTS), ("actions", MOST_ACTIONS)):
        rows = content[name]["rows"]
        cut = [[_shortened(cell, at) for at, cell in enumerate(row)] for row in rows[:most]]
        more = say("walk_report.more", count=len(rows) - most) if name == "actions" and len(rows) > most else ""
        content[name] = content[name] | {"rows": cut, "more": more}
    return content


def _who(told: WalkTold, say: Phrases) -> list[str]:
    if not told.kept:
        return [say("walk_report.who_none")]
    if told.people is None:
        return [say("walk_report.who_few")]
    return [say("walk_report.who", people=say.number(told.people), answers=say.number(told.answers or 0))]


def _parts(told: WalkTold, say: Phrases) -> dict[str, Any]:
    heads = [say(f"walk_report.{head}") for head in ("group", "people", "by_day", "after_dark")]
    rows = [
        [say.group(part.classes), say.number(part.people), _percent(part.day, say), _percent(part.dark, say)]
        for part in told.parts
    ]
    return {"heads": heads, "rows": rows, "more": ""}


def _said(told: WalkTold, say: Phrases) -> list[str]:
    out = []
    if told.change is not None:
        change, low, high = (say.number(value, sign=True) for value in told.change)
        interval = say("walk_report.interval", low=low, high=high)
        points = say("walk_report.change_points", change=change)
        # Beside a share that is told as nearly all, the difference to the point would tell it after all.
        exactly = all(_is_told(share) for share in (told.total.day, told.total.dark)) if told.total else False
        out.append(say.told(say("walk_report.change"), f"{points}, {interval}" if exactly else interval) + ".")
    if told.mixed is not None:
        out.append(say("walk_report.both", share=_percent(told.mixed, say)) + ".")
    if told.people is not None and not told.places:
        out.append(say("walk_report.said_few"))
    elif told.places and not told.whole:
        out.append(say("walk_report.rest"))
    return out


def _places(walk: Walk, told: WalkTold, say: Phrases) -> dict[str, Any]:
    heads = [say(f"walk_report.{head}") for head in ("where", "by_day", "after_dark")]
    rows = []
    if told.total is not None and (told.total.day is not None or told.total.dark is not None):
        rows.append([say("walk_report.everybody"), _percent(told.total.day, say), _percent(told.total.dark, say)])
    rows += [
        [_place_named(walk, place, say), _percent(place.day, say), _percent(place.dark, say)] for place in told.places
    ]
    return {"heads": heads, "rows": rows, "more": ""}


def _place_named(walk: Walk, place: Place, say: Phrases) -> str:
    stops = say.listed([str(stop) for stop in place.stops])
    if len(place.stops) == 1:
        return say("walk_report.stop_of", stops=stops, label=walk.stops["label"].loc[place.stops[0]])
    return say("walk_report.stops_of", stops=stops)


def _sure(report: Report, say: Phrases) -> list[str]:
    sure, stops = report.sure, len(report.walk.stops)
    if sure is None:
        return [say("walk_report.sure_same")]
    out = []
    if sure.before is not None and sure.after is not None:
        before, after = say.number(sure.before, 1), say.number(sure.after, 1)
        out.append(say("walk_report.sure", time=sure.time, before=before, after=after))
    if sure.newly and sure.fresh is not None:
        width = say.number(sure.fresh, 1)
        out.append(say("walk_report.sure_shown", count=sure.newly, stops=stops, width=width))
    if sure.hatched:
        out.append(say("walk_report.sure_hatched", count=sure.hatched, stops=stops))
    before, after = say.percent(sure.city_before), say.percent(sure.city_after)
    return [*out, say("walk_report.sure_city", after=after, before=before)]


def _actions(actions: list[Entry], say: Phrases) -> dict[str, Any]:
    heads = [say(f"walk_report.{head}") for head in ("action", "owner", "due")]
    rows = []
    for action in actions:
        stop, _, label = action.place.partition(", stop ")[2].partition(": ")
        where = say("walk_report.stop_of", stops=stop, label=label) if label else ""
        what = f"{action.title} ({where})" if where else action.title
        day = datetime.fromisoformat(action.due).date() if action.due else None
        rows.append([what, action.owner, "" if day is None else _short_day(day, say)])
    return {"heads": heads, "rows": rows, "more": ""}


def _short_day(day: Any, say: Phrases) -> str:
    from babel.dates import format_date

    return str(format_date(day, "long", locale="en_GB" if say.language == "en" else say.language))


def _percent(share: int | None, say: Phrases) -> str:
    """A share as it is told: where nearly all agree, not that all do, since those who walked know one another."""
    if share is None:
        return "–"
    if _is_told(share):
        return say.percent(share / 100)
    if share > MOST_AGREE:
        return say("walk_report.most", share=say.percent(MOST_AGREE / 100))
    return say("walk_report.fewest", share=say.percent(1 - MOST_AGREE / 100))


def _is_told(share: int | None) -> bool:
    """Whether a share is told to the point."""
    return share is not None and 100 - MOST_AGREE <= share <= MOST_AGREE


def _shortened(text: str, column: int) -> str:
    longest = _LONGEST_CELLS[min(column, len(_LONGEST_CELLS) - 1)]
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def _table(table: dict[str, Any]) -> str:
    def cells(tag: str, row: list[str]) -> str:
        return "".join(f"<{tag}{' class=n' if _is_number(cell) else ''}>{escape(cell)}</{tag}>" for cell in row)

    of_numbers = [any(_is_number(row[at]) for row in table["rows"]) for at in range(len(table["heads"]))]
    heads = "".join(
        f"<th scope=col{' class=n' if numbers else ''}>{escape(head)}</th>"
        for head, numbers in zip(table["heads"], of_numbers, strict=True)
    )
    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table["rows"])
    return f"<div class=wide tabindex=0><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _is_number(cell: str) -> bool:
    return cell == "–" or (len(cell) <= 8 and cell.lstrip("<> ")[:1].isdigit())
