"""The two pages of the morning after a night, or of a month for the meeting: the same content as a page and as a PDF.

The first page is to be read in two minutes: four sentences, the map at the hour when most people pass, and what
differed from the usual. The second has both sides of the night, those who pass and those who sleep, and what is to be
done: lamp faults, gaps, answers and who is missing, open actions.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from analytics.differences_told import difference_rows
from analytics.night_curves import curve, passing_points, sleeping_points
from analytics.night_facts import NightFacts
from analytics.night_tables import passing_table, sleeping_table
from analytics.phrases import Phrases
from analytics.released_map import legend, released_map
from analytics.sleeping import FACADE, LIMIT_DB
from analytics.typeset import pdf
from analytics.usual_differences import QUANTITY_OF, RATE
from analytics.walk_times import day_named
from ingest.usual_nights import WEEKS_LEAST
from sensors.errors import ExportError
from sensors.night import local_offset

MOST_DIFFERENCES, MOST_METERS, MOST_LAMPS, MOST_ACTIONS = 6, 10, 8, 6  # rows on paper; the page has them all
_LONGEST = 90  # characters of a cell on paper
_LONGEST_TEXT = 420  # and of a paragraph that holds a city's own words
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "h1{color:#2b2350;margin-bottom:0}h2{color:#2b2350;margin-top:2rem;font-size:1.25rem}.simulated{border:3px double "
    "#2b2350;padding:.4rem .8rem;font-weight:700}table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.25rem "
    ".7rem;text-align:left;border-bottom:1px solid #ccc;vertical-align:top}td.n,th.n{text-align:right}"
    ".wide{overflow-x:auto}.note{color:#444}.map{display:flex;flex-wrap:wrap;gap:1rem;margin:0}.map>div{flex:2 1 "
    "20rem;max-width:34rem}.map>div+div{flex:1 1 14rem;max-width:20rem}.curve{max-width:34rem}svg{width:100%;"
    "height:auto}@media print{body"
    "{margin:0;max-width:none}}"
)


def report_content(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    """The report's words and tables in one language."""
    several, differ = facts.several, facts.differences
    weekday = weekday_named(facts.nights[0].weekday, say)
    lamps, gaps = _lamps(facts, say), _gaps(facts, say)
    return {
        "language": say.language,
        "simulated": say("word.simulated") if facts.simulated else "",
        "title": _title(facts, say),
        "subtitle": _subtitle(facts, say),
        "note": say("night_report.note"),
        "brief_title": say("night_report.brief_title"),
        "brief": [_labelled(text) for text in _brief(facts, say)],
        "map_title": _map_title(facts, say),
        "map_note": _map_note(facts, say),
        "has_map": facts.page is not None,
        "differ_title": say("night_report.differ_title_period" if several else "night_report.differ_title",
                            **({} if several else {"weekday": weekday})),
        "differ": _differ(facts, say),
        "differ_table": difference_rows(differ, say, several=several),
        "pass_title": say("night_report.pass_title"),
        "pass": _pass(facts, say),
        "pass_table": passing_table(facts, say),
        "pass_curve": say("night_report.pass_curve") if passing_points(facts) else "",
        "sleep_title": say("night_report.sleep_title"),
        "sleep": _sleep(facts, say),
        "sleep_table": sleeping_table(facts, say),
        "sleep_curve": say("night_report.sleep_curve", limit=say.number(LIMIT_DB)) if sleeping_points(facts) else "",
        "lamps_title": say("night_report.lamps_title"),
        "lamps": lamps,
        "lamps_table": _lamp_rows(facts, say),
        "gaps_title": say("night_report.gaps_title"),
        "gaps": gaps,
        "answers_title": say("night_report.answers_title"),
        "answers": _answers(facts, say),
        "actions_title": say("night_report.actions_title"),
        "actions": [] if len(facts.journal) else [say("night_report.actions_none")],
        "actions_table": _action_rows(facts, say),
        "purpose": _purpose(facts, say),
        "made": say("night_report.made", zone=str(facts.city.zone)),
        "attribution": ", ".join(facts.city.settings.attribution),
    }  # fmt: skip


def report_html(facts: NightFacts, say: Phrases) -> str:
    """The page, which needs nothing else; everything in it is text, tables and a drawing."""
    content = report_content(facts, say)
    parts = [f"<h1>{escape(content['title'])}</h1><p>{escape(content['subtitle'])}</p>"]
    if content["simulated"]:
        parts.append(f"<p class=simulated>{escape(content['simulated'])}</p>")
    parts.append(f"<p><em>{escape(content['note'])}</em></p><h2>{escape(content['brief_title'])}</h2><ul>")
    parts += [f"<li><strong>{escape(label)}</strong>{escape(text)}" for label, text in content["brief"]]
    parts.append(f"</ul><h2>{escape(content['map_title'])}</h2>")
    drawn = pictures(facts, say)
    if "map.svg" in drawn:
        key = _drawing(drawn["legend.svg"], say("night_report.legend_title"))
        parts.append(f"<div class=map>{_drawing(drawn['map.svg'], content['map_title'])}{key}</div>")
    parts += [f"<p class=note>{escape(text)}</p>" for text in content["map_note"]]
    for key in ("differ", "pass", "sleep", "lamps", "gaps", "answers", "actions"):
        parts.append(f"<h2>{escape(content[f'{key}_title'])}</h2>")
        parts += [f"<p>{escape(text)}</p>" for text in content[key]]
        if f"{key}.svg" in drawn:
            parts.append(_drawing(drawn[f"{key}.svg"], content[f"{key}_curve"], "curve"))
            parts.append(f"<p class=note>{escape(content[f'{key}_curve'])}</p>")
        table = content.get(f"{key}_table")
        if table and table["rows"]:
            parts.append(_table(table))
    parts += [f"<p class=note>{escape(content[key])}</p>" for key in ("purpose", "made", "attribution") if content[key]]
    return (
        f'<!doctype html><html lang={say.language}><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(content['title'])}, {escape(content['subtitle'])}</title><style>{_STYLE}</style><main>"
        + "".join(parts)
        + "</main></html>\n"
    )


def write_report(facts: NightFacts, say: Phrases, folder: Path) -> tuple[Path, Path]:
    """Write page and PDF into a folder, each beside and then renamed; ExportError where that cannot be done."""
    first, last = facts.nights[0].name, facts.nights[-1].name
    stem = f"{facts.city.id}-{first}{'' if first == last else f'-to-{last}'}-report.{say.language}"
    made = {f"{stem}.html": report_html(facts, say).encode(), f"{stem}.pdf": report_pdf(facts, say)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in made.items():
            beside = folder / f".{name}.new"
            beside.write_bytes(body)
            beside.replace(folder / name)
    except OSError as error:
        raise ExportError(f"{folder} cannot hold the report ({error.strerror or error})") from error
    page, printed = (folder / name for name in made)
    return page, printed


def report_pdf(facts: NightFacts, say: Phrases) -> bytes:
    """The same on two pages of paper, long tables cut with a word on it."""
    return pdf("night-report", paper_content(facts, say), pictures(facts, say))


def paper_content(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    """The content as it fits on two pages."""
    content = report_content(facts, say)
    most = {"differ": MOST_DIFFERENCES, "pass": 12, "sleep": MOST_METERS, "lamps": MOST_LAMPS, "actions": MOST_ACTIONS}
    for name, rows in most.items():
        table = content[f"{name}_table"]
        beyond = len(table["rows"]) - rows
        cut = [[_shortened(cell, _LONGEST) for cell in row] for row in table["rows"][:rows]]
        content[f"{name}_table"] = table | {"rows": cut}
        if beyond > 0 and name in ("differ", "actions"):
            content[name] = [*content[name], say(f"night_report.{name}_more", count=beyond)]
    for name in ("differ", "answers", "gaps"):
        content[name] = [_shortened(text, _LONGEST_TEXT) for text in content[name]]
    for name in ("purpose", "attribution", "subtitle"):
        content[name] = _shortened(content[name], _LONGEST_TEXT)
    return content


def pictures(facts: NightFacts, say: Phrases) -> dict[str, str]:
    """The map, its legend and the curves of both sides as SVG; only those that there is something for."""
    out = {}
    if facts.page is not None:
        areas = facts.differences.areas
        mark = say("word.simulated") if facts.simulated else ""
        out["map.svg"] = released_map(facts.city, facts.page, areas, mark)
        out["legend.svg"] = legend(say, areas.squares)
    if passes := passing_points(facts):
        out["pass.svg"] = curve(passes, say, "%", 0.0, 100.0)
    if sleeps := sleeping_points(facts):
        out["sleep.svg"] = curve(sleeps, say, "dB", 30.0, 80.0, line=LIMIT_DB)
    return out


def weekday_named(weekday: int, say: Phrases) -> str:
    """Monday 0, in words."""
    from babel.dates import get_day_names

    return str(get_day_names("wide", locale=say.language)[weekday])


def _title(facts: NightFacts, say: Phrases) -> str:
    if facts.several:
        first, last = (_short_day(night.name, say, "long") for night in (facts.nights[0], facts.nights[-1]))
        return say("night_report.title_period", first=first, last=last)
    return say("night_report.title", day=day_named(facts.nights[0].date, say.language))


def _subtitle(facts: NightFacts, say: Phrases) -> str:
    if facts.several:
        return say("night_report.subtitle_period", city=facts.city.name, count=len(facts.nights))
    return say("night_report.subtitle", city=facts.city.name)


def _brief(facts: NightFacts, say: Phrases) -> list[str]:
    told = _told_shares(facts)
    out = [
        say("night_report.brief_pass", **_interval_words(told, say))
        if told is not None
        else say("night_report.brief_pass_none")
    ]
    minutes = [one.minutes for one in facts.sleepers if one.mounting == FACADE and one.minutes is not None]
    louder, limit = sum(value >= 60.0 for value in minutes), say.number(LIMIT_DB)
    out.append(
        say("night_report.brief_sleep", louder=louder, meters=len(minutes), limit=limit)
        if minutes
        else say("night_report.brief_sleep_none")
    )
    differ = facts.differences
    out.append(
        say(
            "night_report.brief_differ",
            found=say.number(len(differ.named)),
            count=say.number(len(differ.comparisons)),
            ways=_ways(facts, say),
        )
        if differ.comparisons
        else say("night_report.brief_differ_none")
    )
    if facts.lamps is None:
        return [*out, say("night_report.brief_lamps_none")]
    count = say.number(int(facts.lamps["lamps"].sum()))
    return [*out, say("night_report.brief_lamps", faults=say.number(len(facts.lamps)), lamps=count)]


def _ways(facts: NightFacts, say: Phrases) -> str:
    """How many differences are up and how many down, quantity by quantity; empty without any."""
    told = []
    for what in QUANTITY_OF:
        mine = [one.change > 0 for one in facts.differences.named if one.what == what]
        if mine:
            words = {"up": say.number(sum(mine)), "down": say.number(len(mine) - sum(mine))}
            told.append(say("night_report.brief_way", what=say(f"night_report.quantity_{what}"), **words))
    return f" ({say.apart(told)})" if told else ""


def _labelled(text: str) -> list[str]:
    """A label between two pairs of stars, and what follows it."""
    _, label, rest = text.split("**", 2)
    return [label, rest]


def _map_title(facts: NightFacts, say: Phrases) -> str:
    if facts.several or not facts.passing:
        return say("night_report.map_title_period")
    return say("night_report.map_title", time=_clock(facts.passing[0].busiest, facts))


def _map_note(facts: NightFacts, say: Phrases) -> list[str]:
    if facts.page is None:
        return [say("night_report.map_none", why=_why_no_share(facts, say))]
    return [say("night_report.map_caption", count=len(facts.passing))] if facts.several else []


def _why_no_share(facts: NightFacts, say: Phrases) -> str:
    return say("night_report.why_no_safety" if facts.passing else "night_report.why_no_pages")


def _differ(facts: NightFacts, say: Phrases) -> list[str]:
    differ = facts.differences
    out = []
    if not differ.comparisons:
        out.append(say("night_report.differ_none", least=WEEKS_LEAST))
    else:
        found = len(differ.named)
        nothing = "night_report.differ_nothing_period" if facts.several else "night_report.differ_nothing"
        out.append(
            say(
                "night_report.differ_chance" if found else nothing,
                count=say.number(len(differ.comparisons)), earlier=differ.earlier, found=say.number(found),
                expected=say.number(differ.expected), raw=say.number(differ.raw), rate=say.percent(RATE),
                false=say.number(RATE * found, 1 if RATE * found < 3 else 0),
                weekday=weekday_named(facts.nights[0].weekday, say),
            )
        )  # fmt: skip
        if differ.lacking:
            what = say.listed([say(f"night_report.quantity_{one}") for one in differ.lacking])
            out.append(say("night_report.differ_lacking", what=what))
    if len(facts.tonight):
        out.append(say("night_report.differ_tonight", titles=say.apart(list(facts.tonight["title"].astype(str)))))
    return out


def _told_shares(facts: NightFacts) -> tuple[float, float, float, float] | None:
    """Share, low, high and share of people shown: of several nights the medians."""
    told = [one.whole for one in facts.passing if one.whole.safe is not None]
    if not told:
        return None
    rows = np.array([(one.safe, one.low, one.high, one.shown) for one in told], np.float64)
    safe, low, high, shown = np.median(rows, axis=0)
    return float(safe), float(low), float(high), float(shown)


def _interval_words(told: tuple[float, float, float, float], say: Phrases) -> dict[str, str]:
    return dict(zip(("safe", "low", "high"), (say.percent(value / 100) for value in told[:3]), strict=True))


def _pass(facts: NightFacts, say: Phrases) -> list[str]:
    told = _told_shares(facts)
    if told is None:
        return [say("night_report.pass_none", why=_why_no_share(facts, say))]
    return [say("night_report.pass", untold=say.percent(1 - told[3]), **_interval_words(told, say))]


def _sleep(facts: NightFacts, say: Phrases) -> list[str]:
    if not facts.sleepers:
        return [say("night_report.sleep_none")]
    out = [say("night_report.sleep", limit=say.number(LIMIT_DB))]
    if all(one.minutes is None for one in facts.sleepers):
        out.append(say("night_report.sleep_short"))
    years = [one.year for one in facts.sleepers if one.year is not None]
    known = sum(year.l_night is not None for year in years)
    if known:
        out.append(say("night_report.sleep_year", count=known))
    elif years:
        share = say.percent(float(np.median([year.share_of_year[2] for year in years])))
        out.append(say("night_report.sleep_no_year", share=share))
    return out


def _lamps(facts: NightFacts, say: Phrases) -> list[str]:
    night = day_named(facts.nights[-1].date, say.language)
    if facts.lamps is None:
        return [say("night_report.lamps_none", night=night)]
    if not len(facts.lamps):
        return [say("night_report.lamps_well", night=night)]
    count = say.number(int(facts.lamps["lamps"].sum()))
    return [say("night_report.lamps", faults=say.number(len(facts.lamps)), lamps=count, night=night)]


def _lamp_rows(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    heads = [say(f"night_report.head_{head}") for head in ("fault", "where", "lamps", "since", "passing")]
    rows = []
    for row in facts.lamps.to_dict("records") if facts.lamps is not None else ():
        place = [str(row["asset_id"] or row["circuit"] or row["cabinet"] or row["lamp"]), str(row["street"])]
        passed = float(row["passages"])
        rows.append(
            [
                say(f"night_report.fault_{row['kind']}"), ", ".join(part for part in place if part),
                say.number(int(row["lamps"])), say.number(int(row["nights"])),
                say.number(passed) if np.isfinite(passed) else "–",
            ]
        )  # fmt: skip
    return {"heads": heads, "rows": rows, "left": (0, 1)}


def _gaps(facts: NightFacts, say: Phrases) -> list[str]:
    gaps = facts.gaps
    if gaps is None:
        return [say("night_report.gaps_nothing")]
    lost = say("night_report.gaps_lost", missing=say.number(gaps.missing), devices=say.number(gaps.devices))
    out = [lost if gaps.missing else say("night_report.gaps_none_lost")]
    silent = [
        say(
            "night_report.gaps_silent_part", silent=say.number(one.silent), devices=say.number(one.devices),
            kind=say(f"night_report.kind_{one.kind}"),
        )
        for one in gaps.heard if one.silent
    ]  # fmt: skip
    return [*out, say("night_report.gaps_silent", parts=say.listed(silent)) if silent else say("night_report.gaps_all")]


def _answers(facts: NightFacts, say: Phrases) -> list[str]:
    came, least = facts.answers, facts.city.settings.release.minimum_people
    if not came.anybody:
        return [say("night_report.answers_nobody")]
    if came.told:
        out = [say("night_report.answers", people=say.number(came.people), least=least)]
        out += [say("night_report.answers_untold", nights=came.untold, least=least)] if came.untold else []
    else:
        out = [say("night_report.answers_few", least=least)]
    if facts.passing and facts.passing[-1].answers:
        newest = facts.passing[-1].newest_answer
        day = _short_day(newest, say) if newest else "–"
        out.append(say("night_report.answers_map", answers=say.number(facts.passing[-1].answers), newest=day))
    groups = [say(f"{column}.{code}") for column, codes in came.few.items() for code in codes]
    if groups:
        return [*out, say("night_report.answers_missing", least=least, groups=say.apart(groups))]
    return [*out, say("night_report.answers_all", least=least)]


def _action_rows(facts: NightFacts, say: Phrases) -> dict[str, Any]:
    heads = [say(f"night_report.head_{head}") for head in ("action", "owner", "due")]
    rows = []
    for entry in facts.journal.to_dict("records"):
        due = str(entry["due"])
        day = _short_day(due, say) if due else ""
        late = bool(due) and datetime.fromisoformat(due.replace("Z", "+00:00")).date() < facts.nights[-1].date
        title = f"{entry['title']} ({entry['place']})" if entry["place"] else str(entry["title"])
        rows.append([title, str(entry["owner"]), say("night_report.overdue", day=day) if late else day])
    return {"heads": heads, "rows": rows, "left": (0, 1, 2)}


def _purpose(facts: NightFacts, say: Phrases) -> str:
    purpose, fill = facts.city.settings.purpose, say("word.to_fill")
    return say(
        "night_report.purpose", uses=say.listed(list(purpose.uses)) or fill, responsible=purpose.responsible or fill,
        excluded=say.listed([_excluded(use, say) for use in purpose.excluded]) or fill,
    )  # fmt: skip


def _excluded(use: str, say: Phrases) -> str:
    """The uses that are excluded unless a city says otherwise, in its reader's language; a city's own words stay."""
    return say.texts.get(f"night_report.excluded_{use.replace(' ', '-')}", use)


def _short_day(text: str, say: Phrases, length: str = "medium") -> str:
    from babel.dates import format_date

    day = datetime.fromisoformat(text.replace("Z", "+00:00")).date()
    return str(format_date(day, length, locale="en_GB" if say.language == "en" else say.language))


def _clock(moment: np.datetime64, facts: NightFacts) -> str:
    local = moment + local_offset(np.array([moment]), facts.city.zone)[0]
    return str(local.astype("datetime64[m]"))[11:16]


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def _drawing(picture: str, name: str, of_class: str = "drawn") -> str:
    return f'<div class={of_class} role=img aria-label="{escape(name)}">{picture}</div>'


def _table(table: dict[str, Any]) -> str:
    left = table.get("left", (0,))

    def cells(tag: str, row: list[str]) -> str:
        return "".join(
            f"<{tag}{'' if at in left else ' class=n'}>{escape(cell)}</{tag.split()[0]}>" for at, cell in enumerate(row)
        )

    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table["rows"])
    head = cells("th scope=col", table["heads"])
    return f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
