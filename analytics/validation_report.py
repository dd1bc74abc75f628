"""A validation as one HTML page that needs nothing else and as a PDF: tables for reading, pictures for seeing."""

from __future__ import annotations

import math
from html import escape

from analytics.held_out import BLOCK_M, FOLDS, GUESSES
from analytics.printed_report import Report
from analytics.validation import GOOD_SKILL, Scheme, Validation

_WAYS = {
    "random": "any fifth of the answers: neighbours stay behind, so this is an upper bound",
    "respondents": "a fifth of the people: new people in known places",
    "blocks": f"whole squares of {BLOCK_M:g} m: new places",
    "as the map's cells": "answers as far from those kept as the map's cells are: the figure for the map",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.25rem .75rem;text-align:right;"
    "border-bottom:1px solid #ccc}th:first-child,td:first-child{text-align:left}"
    ".note{color:#444}.simulated{font-weight:700}figure{display:inline-block;margin:0 2rem 1rem 0}"
    "figcaption{font-size:.8rem;max-width:220px}"
)
_SIMULATED = "SIMULATED: not what people here said"
_GOOD = (
    "Most of how safe people feel differs between people at one place: even the true model of a simulated city saves "
    f"12 to 16 % of climatology's score. {GOOD_SKILL * 100:.0f} % or more in a real city, and an interval above 0 "
    "against groups alone, is a good result."
)
_HEADS = ("guess", "RPS", "log score", "Brier, feels safe", "the map's skill against it")
_SIDE = 220.0


def validation_html(validation: Validation) -> str:
    """The page; everything in it is text, tables and SVG."""
    title = _title(validation)
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(_lead(validation))}</p>", f"<p class=note>{escape(_GOOD)}</p>"]
    if validation.simulated:
        parts.append(f"<p class=simulated>{_SIMULATED}</p>")
    for scheme in validation.schemes:
        parts += _scheme(scheme)
    return (
        f'<!doctype html><html lang=en><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
    )


def validation_pdf(validation: Validation) -> bytes:
    """The same for the printer."""
    report = Report(_title(validation), notice=_SIMULATED if validation.simulated else "")
    report.text(_lead(validation))
    report.text(_GOOD, note=True)
    for scheme in validation.schemes:
        report.heading(f"Left out: {scheme.name}")
        report.text(_way(scheme))
        report.table([_HEADS, *_scores(scheme)], (1, 0, 0, 0, 0))
        report.text(_held(scheme))
        report.draw([_reliability(scheme), _pit(scheme)])
    return report.pdf()


def validation_text(validation: Validation) -> str:
    """The same in a few lines for a terminal."""
    lines = [f"{validation.city}: {validation.answers} answers of {validation.people} people"]
    for scheme in validation.schemes:
        lines.append(f"left out {scheme.name} (median {scheme.distance_m:.0f} m from the nearest kept)")
        lines.append(f"  RPS {scheme.score['map']['rps']:.4f}, log score {scheme.score['map']['log']:.4f}")
        for guess in GUESSES:
            skill = scheme.skill[guess]
            lines.append(f"  skill against {guess:<12} {skill.value:+.3f} ({skill.low:+.3f} to {skill.high:+.3f})")
        held = _percent(scheme.coverage)
        lines.append(f"  said minus found {scheme.calibration_error:+.3f}; 90 % intervals of blocks hold {held}")
    if validation.simulated:
        lines.append(_SIMULATED)
    return "\n".join(lines)


def _title(validation: Validation) -> str:
    return f"{validation.city}: how the map does on answers it has not seen"


def _lead(validation: Validation) -> str:
    when = f" before the night of {validation.night}" if validation.night else ""
    return (
        f"{validation.answers} answers of {validation.people} people{when}, left out in {FOLDS} parts and predicted "
        f"from the others. Scores are ranked probability scores (RPS) and lower is better; skill is how much of a "
        f"simpler guess's score the map saves, with a 90 % interval from resampling whole blocks or people."
    )


def _way(scheme: Scheme) -> str:
    way = _WAYS[scheme.name]
    return f"{way[0].upper()}{way[1:]}. Median distance to the nearest answer kept: {scheme.distance_m:.0f} m."


def _scores(scheme: Scheme) -> list[list[str]]:
    return [
        [guess, *(f"{scheme.score[guess][name]:.4f}" for name in ("rps", "log", "brier")), _skill(scheme, guess)]
        for guess in ("map", *GUESSES)
    ]


def _held(scheme: Scheme) -> str:
    return (
        f"Said minus found: {scheme.calibration_error:+.3f}. 90 % intervals of the shares of blocks hold "
        f"{_percent(scheme.coverage)}."
    )


def _scheme(scheme: Scheme) -> list[str]:
    heads = "".join(f"<th>{head}" for head in _HEADS)
    rows = "".join("<tr>" + "".join(f"<td>{escape(value)}" for value in row) for row in _scores(scheme))
    return [
        f"<h2>Left out: {escape(scheme.name)}</h2><p>{escape(_way(scheme))}</p>",
        f"<table><tr>{heads}</tr>{rows}</table><p>{escape(_held(scheme))}</p>",
        *(_captioned(picture, words) for picture, words in (_reliability(scheme), _pit(scheme))),
    ]


def _skill(scheme: Scheme, guess: str) -> str:
    if guess == "map":
        return ""
    skill = scheme.skill[guess]
    return f"{skill.value:+.3f} ({skill.low:+.3f} to {skill.high:+.3f})"


def _percent(share: float) -> str:
    return "cannot be told: no block has five answers" if math.isnan(share) else f"{100 * share:.0f} %"


def _reliability(scheme: Scheme) -> tuple[str, str]:
    most = max(max(scheme.counted), 1)
    dots = "".join(
        f'<circle cx="{_SIDE * said:.1f}" cy="{_SIDE * (1 - found):.1f}" r="{2 + 6 * math.sqrt(number / most):.1f}" '
        f'fill="#3b6ea5"><title>{number} answers: said {said:.2f}, found {found:.2f}</title></circle>'
        for said, found, number in zip(scheme.said, scheme.found, scheme.counted, strict=True)
        if number
    )
    line = f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" stroke="#888" stroke-dasharray="4"/>'
    return _picture(line + dots, "share said to feel safe, against share found")


def _pit(scheme: Scheme) -> tuple[str, str]:
    width = _SIDE / len(scheme.pit)
    bars = "".join(
        f'<rect x="{index * width:.1f}" y="{_SIDE * (1 - min(4 * share, 1)):.1f}" width="{width - 2:.1f}" '
        f'height="{_SIDE * min(4 * share, 1):.1f}" fill="#7a9cc0"/>'
        for index, share in enumerate(scheme.pit)
    )
    flat = _SIDE * (1 - 4 / len(scheme.pit))
    line = f'<line x1="0" y1="{flat}" x2="{_SIDE}" y2="{flat}" stroke="#888" stroke-dasharray="4"/>'
    return _picture(bars + line, "probability integral transform: flat where calibrated")


def _picture(content: str, words: str) -> tuple[str, str]:
    """An SVG, and the words for it."""
    frame = f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#444"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIDE}" height="{_SIDE}" role="img"'
    return f'{head} aria-label="{escape(words)}">{frame}{content}</svg>', words


def _captioned(picture: str, words: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(words)}</figcaption></figure>"
