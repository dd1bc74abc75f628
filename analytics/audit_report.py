"""An audit as lines for a terminal, as one HTML page that needs nothing else and as a PDF, in English and French."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from analytics.audit import Audit, Figure, Flag, Row, Share
from analytics.phrases import Phrases
from analytics.printed_report import Report

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.25rem .6rem;text-align:right;"
    "border-bottom:1px solid #ccc;vertical-align:top}th:first-child,td:first-child,td:last-child,th:last-child"
    "{text-align:left}.level1 td:first-child{padding-left:1.2rem}.level2 td:first-child{padding-left:2.4rem}"
    ".level3 td:first-child{padding-left:3.6rem}.note{color:#444}.simulated,.clear{font-weight:700}"
    "td small{display:block;color:#444}.interval{white-space:nowrap}.wide{overflow-x:auto}"
)


_HEADS = ("group", "people", "answers", "calibration", "rps_ratio", "coverage", "flags")
_SHARE_HEADS = ("group", "sample", "population", "flags")


def audit_html(audit: Audit, say: Phrases, *, people: int = 10, share: float = 0.30) -> str:
    """The page; everything in it is text and a table.

    people, share : the release rule of the city
    """
    title = say("audit.title", city=audit.city)
    parts = [f"<h1>{escape(title)}</h1>"]
    if audit.simulated:
        parts.append(f"<p class=simulated>{escape(say('word.simulated'))}</p>")
    parts += [f"<p>{escape(text)}</p>" for text in (_lead(audit, say), _found(audit, say))]
    parts += [f"<p class=note>{escape(text)}</p>" for text in _notes(audit, say)]
    parts.append("<div class=wide tabindex=0><table><thead><tr>")
    parts += [f"<th scope=col>{escape(say(f'audit.{head}'))}" for head in _HEADS]
    parts.append("</thead><tbody>")
    parts += [_html_row(row, say) for row in audit.rows]
    parts.append("</tbody></table></div>")
    parts.append(f"<h2>{escape(say('audit.shares_title'))}</h2><div class=wide tabindex=0><table><thead><tr>")
    parts += [f"<th scope=col>{escape(say(f'audit.{head}'))}" for head in _SHARE_HEADS]
    parts.append("</thead><tbody>")
    parts += [
        f"<tr><td>{escape(name)}<td>{escape(sample)}<td>{escape(population)}<td>{escape(flags)}</tr>"
        for name, sample, population, flags in share_rows(audit.shares, say)
    ]
    parts.append("</tbody></table></div>")
    for key, texts in _absences(audit, say, people, share):
        parts.append(f"<h2>{escape(say(key))}</h2>")
        parts += [f"<p>{escape(text)}</p>" for text in texts]
    return (
        f'<!doctype html><html lang={say.language}><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><main>" + "".join(parts) + "</main></html>"
    )


def audit_pdf(audit: Audit, say: Phrases, *, people: int = 10, share: float = 0.30) -> bytes:
    """The same for the printer."""
    notice = say("word.simulated") if audit.simulated else ""
    report = Report(say("audit.title", city=audit.city), say.language, notice)
    report.text(_lead(audit, say))
    report.text(_found(audit, say))
    for note in _notes(audit, say):
        report.text(note, note=True)
    heads = [say(f"audit.{head}") for head in _HEADS]
    report.table(
        [heads, *(_printed_row(row, say) for row in audit.rows)], (2.4, 0.8, 0.8, 1.5, 1.4, 1.5, 2.6), left=(0, 6)
    )
    report.heading(say("audit.shares_title"))
    heads = [say(f"audit.{head}") for head in _SHARE_HEADS]
    report.table([heads, *share_rows(audit.shares, say)], (2, 1, 1, 2), left=(0, 3))
    for key, texts in _absences(audit, say, people, share):
        report.heading(say(key))
        for text in texts:
            report.text(text)
    return report.pdf()


def audit_text(audit: Audit, say: Phrases, *, people: int = 10, share: float = 0.30) -> str:
    """The same in lines for a terminal."""
    lines = [say("audit.title", city=audit.city), _lead(audit, say), _found(audit, say), ""]
    width = max(len(_name(row, say)) + 2 * len(row.classes) for row in audit.rows)
    for row in audit.rows:
        name = "  " * len(row.classes) + _name(row, say)
        figures = (
            f"{say.number(row.people):>6} {say('audit.people')}, {say('audit.calibration')} "
            f"{say.number(row.calibration.value, 3, sign=True)}, {say('audit.rps_ratio')} "
            f"{say.number(row.rps_ratio.value, 2)}, {say('audit.coverage')} {_coverage(row, say)}"
        )
        flags = f"  [{flags_of(row.flags, say)}]" if row.flags else ""
        lines.append(f"{name:<{width}} {figures}{flags}")
    lines += ["", say("audit.shares_title")]
    for name, sample, population, flags in share_rows(audit.shares, say):
        told = "  " + say.apart([say.told(name, sample), say.told(say("audit.population"), population)])
        lines.append(f"{told}  [{flags}]" if flags else told)
    for key, texts in _absences(audit, say, people, share):
        lines += ["", say(key), *(f"  {text}" for text in texts)]
    lines += ["", *_notes(audit, say)]
    if audit.simulated:
        lines.append(say("word.simulated"))
    return "\n".join(lines)


def flags_of(flags: Sequence[Flag], say: Phrases) -> str:
    """What is flagged of a group, in words; empty where nothing is."""
    return ", ".join(
        f"{say(f'audit.flag_{flag.what}')} ({say('audit.clear' if flag.clear else 'audit.chance')})" for flag in flags
    )


def share_rows(shares: Sequence[Share], say: Phrases) -> list[tuple[str, str, str, str]]:
    """Code by code: whom, their share of those who answered, of the population, and what is flagged."""
    rows = []
    for one in shares:
        if one.nobody and one.population is None and one.code == "undisclosed":
            continue
        sample = say.percent(one.sample.value) if not math.isnan(one.sample.value) else say("audit.too_few")
        sample = say("audit.nobody") if one.nobody else sample
        population = say("audit.no_population") if one.population is None else say.percent(one.population)
        rows.append((say.group({one.column: (one.code,)}), sample, population, flags_of(one.flags, say)))
    return rows


def names_of(crossings: list[dict[str, str]], say: Phrases) -> str:
    """Groups by name, one after the other."""
    return say.apart([say.group({column: (code,) for column, code in crossing.items()}) for crossing in crossings])


def _lead(audit: Audit, say: Phrases) -> str:
    way = say("audit.way_people" if audit.left_out == "respondents" else "audit.way_cells")
    return say(
        "audit.lead", answers=say.number(audit.answers), people=say.number(audit.people), oldest=audit.oldest,
        newest=audit.newest, way=way,
    )  # fmt: skip


def _found(audit: Audit, say: Phrases) -> str:
    if not audit.flagged:
        return say("audit.found_none")
    return say("audit.found", flags=say.number(audit.flagged), clear=say.number(audit.clear))


def _notes(audit: Audit, say: Phrases) -> list[str]:
    notes = [say("audit.limits"), say("audit.pseudonyms")]
    return notes if audit.frame_given else [*notes, say("audit.no_frame")]


def _absences(audit: Audit, say: Phrases, people: int, share: float) -> list[tuple[str, list[str]]]:
    missing = [say("audit.missing", groups=names_of(audit.missing, say))] if audit.missing else []
    unsaid = [
        say("audit.few", codes=say.listed([say.group({column: (code,)}) for code in codes]))
        for column, codes in audit.few.items()
    ]
    if audit.unsaid:
        groups = names_of(audit.unsaid, say)
        unsaid.append(say("audit.unsaid", people=people, share=say.percent(share), groups=groups))
    return [
        ("audit.missing_title", missing or [say("audit.missing_none")]),
        ("audit.unsaid_title", unsaid or [say("audit.unsaid_none")]),
    ]


def _html_row(row: Row, say: Phrases) -> str:
    aside = f"<small>{escape(say('audit.aside'))}</small>" if row.left_aside else ""
    strong = " class=clear" if any(flag.clear for flag in row.flags) else ""
    return (
        f"<tr class=level{len(row.classes)}><td>{escape(_name(row, say))}{aside}"
        f"<td>{say.number(row.people)}<td>{say.number(row.answers)}"
        f"<td>{_figure(row.calibration, say, 3, sign=True)}<td>{_figure(row.rps_ratio, say, 2)}"
        f"<td>{escape(_coverage(row, say))}<td{strong}>{escape(flags_of(row.flags, say))}</tr>"
    )


def _printed_row(row: Row, say: Phrases) -> list[str]:
    aside = f"\n{say('audit.aside')}" if row.left_aside else ""
    indent = "\u2003" * len(row.classes)
    return [
        f"{indent}{_name(row, say)}{aside}", say.number(row.people), say.number(row.answers),
        _printed(row.calibration, say, 3, sign=True), _printed(row.rps_ratio, say, 2), _coverage(row, say),
        flags_of(row.flags, say),
    ]  # fmt: skip


def _printed(figure: Figure, say: Phrases, digits: int, *, sign: bool = False) -> str:
    value, low, high = (say.number(one, digits, sign=sign) for one in (figure.value, figure.low, figure.high))
    return f"{value}\n{low} … {high}"


def _name(row: Row, say: Phrases) -> str:
    return say.group(row.classes)


def _figure(figure: Figure, say: Phrases, digits: int, *, sign: bool = False) -> str:
    value, low, high = (say.number(one, digits, sign=sign) for one in (figure.value, figure.low, figure.high))
    return f"{value}<small class=interval>{low} … {high}</small>"


def _coverage(row: Row, say: Phrases) -> str:
    if math.isnan(row.coverage.value):
        return say("audit.cannot")
    return say("audit.of_blocks", share=say.percent(row.coverage.value), count=say.number(row.blocks))
