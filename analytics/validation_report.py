"""A validation as lines for a terminal, as one HTML page that needs nothing else and as a PDF, English and French."""

from __future__ import annotations

import math
from html import escape

from analytics.held_out import BLOCK_M, FOLDS, GUESSES
from analytics.phrases import Phrases
from analytics.printed_report import Report
from analytics.validation import GOOD_SKILL, Scheme, Validation

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.25rem .75rem;text-align:right;"
    "border-bottom:1px solid #ccc}th:first-child,td:first-child{text-align:left}"
    ".note{color:#444}.simulated{font-weight:700}figure{display:inline-block;vertical-align:top;margin:0 2rem 1rem 0}"
    "figcaption{font-size:.8rem;max-width:220px}"
)
# scheme -> its name and what it leaves out, as the texts call them
_SCHEMES = {
    "random": ("random", "way_random"),
    "respondents": ("respondents", "way_respondents"),
    "blocks": ("blocks", "way_blocks"),
    "as the map's cells": ("cells", "way_cells"),
}
_ROWS = {"map": "map"} | {guess: guess for guess in GUESSES} | {"area mean": "area_mean"}
_HEADS = ("guess", "rps", "log", "brier", "skill")
_SIDE = 220.0


def validation_html(validation: Validation, say: Phrases) -> str:
    """The page; everything in it is text, tables and SVG."""
    title = say("validation.title", city=validation.city)
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(_lead(validation, say))}</p>"]
    parts.append(f"<p class=note>{escape(_good(say))}</p>")
    if validation.simulated:
        parts.append(f"<p class=simulated>{escape(say('word.simulated'))}</p>")
    for scheme in validation.schemes:
        parts += _scheme(scheme, say)
    return (
        f'<!doctype html><html lang={say.language}><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><main>" + "".join(parts) + "</main></html>"
    )


def validation_pdf(validation: Validation, say: Phrases) -> bytes:
    """The same for the printer."""
    notice = say("word.simulated") if validation.simulated else ""
    report = Report(say("validation.title", city=validation.city), say.language, notice)
    report.text(_lead(validation, say))
    report.text(_good(say), note=True)
    for scheme in validation.schemes:
        report.heading(_name(scheme, say))
        report.text(_way(scheme, say))
        report.table([_heads(say), *_scores(scheme, say)], (1, 0, 0, 0, 0))
        report.text(_held(scheme, say))
        report.draw([_reliability(scheme, say), _pit(scheme, say)])
    return report.pdf()


def validation_text(validation: Validation, say: Phrases) -> str:
    """The same in lines for a terminal."""
    lines = [say("validation.title", city=validation.city), _lead(validation, say)]
    for scheme in validation.schemes:
        lines += ["", _name(scheme, say), f"  {_way(scheme, say)}"]
        rows = [_heads(say), *_scores(scheme, say)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
        for first, *rest in rows:
            figures = "  ".join(f"{value:>{width}}" for value, width in zip(rest, widths[1:], strict=True))
            lines.append(f"  {first:<{widths[0]}}  {figures}".rstrip())
        lines.append(f"  {_held(scheme, say)}")
    if validation.simulated:
        lines.append(say("word.simulated"))
    return "\n".join(lines)


def _lead(validation: Validation, say: Phrases) -> str:
    return say(
        "validation.lead", answers=say.number(validation.answers), people=say.number(validation.people), folds=FOLDS,
        before=say("validation.before", night=validation.night) if validation.night else "",
    )  # fmt: skip


def _good(say: Phrases) -> str:
    return say("validation.good", skill=say.percent(GOOD_SKILL))


def _name(scheme: Scheme, say: Phrases) -> str:
    return say.told(say("validation.left_out"), say(f"validation.{_SCHEMES[scheme.name][0]}"))


def _way(scheme: Scheme, say: Phrases) -> str:
    way = say(f"validation.{_SCHEMES[scheme.name][1]}", side=say.number(BLOCK_M))
    return f"{way} {say('validation.distance', distance=say.number(scheme.distance_m))}"


def _heads(say: Phrases) -> list[str]:
    return [say(f"validation.{head}") for head in _HEADS]


def _scores(scheme: Scheme, say: Phrases) -> list[list[str]]:
    rows = []
    for guess, row in _ROWS.items():
        figures = [say.number(scheme.score[guess][name], 4) for name in ("rps", "log", "brier")]
        rows.append([say(f"validation.{row}"), *figures, _skill(scheme, guess, say)])
    return rows


def _skill(scheme: Scheme, guess: str, say: Phrases) -> str:
    if guess == "map":
        return ""
    skill = scheme.skill[guess]
    value, low, high = (say.number(one, 3, sign=True) for one in (skill.value, skill.low, skill.high))
    return say("validation.interval", value=value, low=low, high=high)


def _held(scheme: Scheme, say: Phrases) -> str:
    known = not math.isnan(scheme.coverage)
    coverage = say.percent(scheme.coverage) if known else say("validation.cannot")
    error = say.number(scheme.calibration_error, 3, sign=True)
    return say.apart([
        say.told(say("validation.calibration"), error), say.told(say("validation.coverage"), coverage),
    ])  # fmt: skip


def _scheme(scheme: Scheme, say: Phrases) -> list[str]:
    heads = "".join(f"<th scope=col>{escape(head)}" for head in _heads(say))
    rows = "".join("<tr>" + "".join(f"<td>{escape(value)}" for value in row) for row in _scores(scheme, say))
    return [
        f"<h2>{escape(_name(scheme, say))}</h2><p>{escape(_way(scheme, say))}</p>",
        f"<table><tr>{heads}</tr>{rows}</table><p>{escape(_held(scheme, say))}</p>",
        *(_captioned(picture, words) for picture, words in (_reliability(scheme, say), _pit(scheme, say))),
    ]


def _reliability(scheme: Scheme, say: Phrases) -> tuple[str, str]:
    most = max(max(scheme.counted), 1)
    dots = "".join(
        f'<circle cx="{_SIDE * said:.1f}" cy="{_SIDE * (1 - found):.1f}" r="{2 + 6 * math.sqrt(number / most):.1f}" '
        f'fill="#3b6ea5"/>'
        for said, found, number in zip(scheme.said, scheme.found, scheme.counted, strict=True)
        if number
    )
    line = f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" stroke="#888" stroke-dasharray="4"/>'
    return _picture(line + dots, say("validation.reliability"))


def _pit(scheme: Scheme, say: Phrases) -> tuple[str, str]:
    width = _SIDE / len(scheme.pit)
    bars = "".join(
        f'<rect x="{index * width:.1f}" y="{_SIDE * (1 - min(4 * share, 1)):.1f}" width="{width - 2:.1f}" '
        f'height="{_SIDE * min(4 * share, 1):.1f}" fill="#7a9cc0"/>'
        for index, share in enumerate(scheme.pit)
    )
    flat = _SIDE * (1 - 4 / len(scheme.pit))
    line = f'<line x1="0" y1="{flat}" x2="{_SIDE}" y2="{flat}" stroke="#888" stroke-dasharray="4"/>'
    return _picture(bars + line, say("validation.pit"))


def _picture(content: str, words: str) -> tuple[str, str]:
    """An SVG, and the words for it."""
    frame = f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#444"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIDE}" height="{_SIDE}" role="img"'
    return f'{head} aria-label="{escape(words)}">{frame}{content}</svg>', words


def _captioned(picture: str, words: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(words)}</figcaption></figure>"
