"""The answer form as plain HTML: it works without scripts, and with them on a phone without a network.

Everything it says is in `words`; what it asks is in the instruments' own words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from dashboard.given_answer import ABOUT, CONSENT, CORE, Asker
from dashboard.words import LANGUAGES, Words
from sensors.answer import CODES
from sensors.instrument import load_instrument

if TYPE_CHECKING:
    from sensors.walk import Walk

# What the script says; the rest stands in the page.
_SPOKEN = (
    "locating", "located", "inexact", "unlocated", "waits.one", "waits.many", "waits.none", "offline", "sent",
    "refused", "later", "erase", "erasing", "erased", "receipt", "delete", "stored", "notstored",
    "wrong.consent", "wrong.category",
)  # fmt: skip


def form_page(
    asker: Asker,
    say: Words,
    *,
    query: Mapping[str, str],
    word: str,
    version: str,
    wrong: str = "",
    wrong_field: str = "",
) -> str:
    """The page with the form.

    query : walk, stop and campaign of the address; word : a random id for a browser without scripts; version : of the
    scripts; wrong : a sentence about what was sent, and the field that it is about
    """
    walk = asker.walks.get(query.get("walk", ""))
    kept = "".join(_hidden(name, query[name]) for name in ("campaign",) if query.get(name))
    note = f'<p class="wrong" id="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    unknown = f'<p class="note">{_t(say("ask.walk.unknown"))}</p>' if query.get("walk") and walk is None else ""
    body = f"""
<p class="lead">{_t(say("ask.lead", city=asker.city.name))}</p>
<section id="waiting" class="card" hidden><p id="count" role="status"></p><ul id="queue"></ul>
<button type="button" id="sendnow" class="plain">{_t(say("ask.sendnow"))}</button></section>
{note}{unknown}{_walk_title(walk, say)}
<form id="form" method="post" action="/ask" novalidate>
{_hidden("id", word)}{_hidden("lang", say.language)}{_hidden("phone", "")}{kept}
{_consent(asker, say)}
{_place(walk, query, say, wrong_field)}
{"".join(_item(name, say, needed=name == CORE, wrong=wrong_field == f"item-{name}") for name in asker.instruments)}
{_about(say)}
<p id="problem" class="wrong" role="alert" hidden></p>
<button class="send">{_t(say("ask.submit"))}</button>
<p class="note">{_t(say("ask.submit.note"))}</p>
</form>
{_receipts(say)}"""
    return _document(asker, say, query, body, version)


def sent_page(asker: Asker, say: Words, *, receipt: str, place: str, time: str, version: str) -> str:
    """What a browser without scripts gets for an answer: its receipt, and what was kept."""
    kept = say("ask.kept.place", place=place, time=time) if place else say("ask.kept", time=time)
    body = f"""
<section class="card done" role="status"><h2>{_t(say("ask.sent"))}</h2><p>{_t(kept)}</p>
<p>{_t(say("ask.receipt"))}<br><strong class="code">{escape(receipt)}</strong></p>
<p class="note">{_t(say("ask.receipt.note"))}</p></section>
{_receipts(say)}
<p><a class="plain" href="/ask?lang={say.language}">{_t(say("ask.again"))}</a></p>"""
    return _document(asker, say, {}, body, version)


def in_theme(page: bytes, theme: str) -> bytes:
    """A page of ours in a theme that its address chose, with links and forms that keep it; '' leaves it to the device.

    theme : of `pages.context.THEMES`, or ''
    """
    if not theme:
        return page
    chosen = theme.encode("ascii")
    page = page.replace(b'<html lang="', b'<html data-theme="' + chosen + b'" lang="', 1)
    for address in (b"/ask", b"/about/privacy"):
        page = page.replace(b'href="' + address + b"?lang=", b'href="' + address + b"?theme=" + chosen + b"&amp;lang=")
    for address in (b"/ask", b"/ask/erase"):
        page = page.replace(b'action="' + address + b'"', b'action="' + address + b"?theme=" + chosen + b'"')
    return page


def told_page(asker: Asker, say: Words, title: str, text: str, version: str) -> str:
    """A page that only says something."""
    body = (
        f'<section class="card" role="status"><h2>{_t(title)}</h2><p>{_t(text)}</p></section>'
        f'<p><a class="plain" href="/ask?lang={say.language}">{_t(say("ask.again"))}</a></p>'
    )
    return _document(asker, say, {}, body, version)


def _document(asker: Asker, say: Words, query: Mapping[str, str], body: str, version: str) -> str:
    city = asker.city
    more = "".join(f"&amp;{name}={escape(query[name])}" for name in ("walk", "stop", "campaign") if query.get(name))
    languages = "".join(
        f'<a href="/ask?lang={code}{more}" lang="{code}" hreflang="{code}">{escape(name)}</a>'
        for code, name in LANGUAGES.items()
        if code != say.language
    )
    mark = f'<p class="simulated">{_t(say("simulated.mark"))}</p>' if city.simulated else ""
    spoken = json.dumps({name: say(f"ask.{name}") for name in _SPOKEN}, ensure_ascii=False).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="{say.language}">
<head>
<meta charset="utf-8">
<title>{_t(say("ask.title"))} · {escape(city.name)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/ask/form.css?{version}">
<script src="/ask/form.js?{version}" defer></script>
</head>
<body>
<header><span><b>Noctule</b> {escape(city.name)}</span>
<nav aria-label="{_t(say("ask.languages"))}">{languages}</nav></header>
<main>
<h1>{_t(say("ask.title"))}</h1>
{mark}{body}
</main>
<footer><p>{_t(say("ask.footer"))}</p>
<p><a href="/about/privacy?lang={say.language}">{_t(say("about.data.more"))}</a></p></footer>
<script type="application/json" id="words">{spoken}</script>
</body>
</html>
"""


def _consent(asker: Asker, say: Words) -> str:
    purpose = asker.city.settings.purpose
    who = purpose.responsible or asker.city.name
    points = [say(f"ask.consent.{key}") for key in ("kept", "notkept", "why", "phone", "erase", "young")]
    listed = "".join(f"<li>{_t(point)}</li>" for point in points)
    return f"""<fieldset class="card"><legend>{_t(say("ask.consent"))}</legend><ul>{listed}</ul>
<p>{_t(say("ask.consent.who", who=who))}</p>
<label class="check"><input type="checkbox" name="consent" value="{CONSENT}" required>
<span>{_t(say("ask.consent.agree"))}</span></label></fieldset>"""


def _walk_title(walk: Walk | None, say: Words) -> str:
    if walk is None:
        return ""
    return f'<p class="walk">{_t(say("ask.walk", title=walk.title, day=say.day(walk.date.isoformat())))}</p>'


def _place(walk: Walk | None, query: Mapping[str, str], say: Words, wrong: str) -> str:
    """Where: a stop of the walk, or this phone's place, a street, degrees."""
    invalid = ' aria-invalid="true" aria-describedby="wrong"' if wrong == "street" else ""
    degrees = "".join(
        f'<label for="{name}">{_t(say(f"ask.place.{name}"))}'
        f'<input id="{name}" name="{name}" inputmode="decimal" maxlength="20" autocomplete="off"></label>'
        for name in ("lat", "lon")
    )
    stops = ""
    if walk is not None:
        options = "".join(
            f'<option value="{number}"{" selected" if str(number) == query.get("stop", "") else ""}>'
            f"{number}. {escape(str(label))}</option>"
            for number, label in walk.stops["label"].items()
        )
        stops = f"""{_hidden("walk", walk.id)}<label for="stop">{_t(say("ask.place.stop"))}</label>
<select id="stop" name="stop"><option value="">{_t(say("ask.place.nostop"))}</option>{options}</select>"""
    return f"""<fieldset class="card"><legend>{_t(say("ask.place"))}</legend>{stops}
<p class="scripted" hidden><button type="button" id="locate" class="plain">{_t(say("ask.place.locate"))}</button></p>
<p id="located" class="note" role="status"></p>
<label for="street">{_t(say("ask.place.street"))}</label>
<input id="street" name="street" list="streets" autocomplete="off" maxlength="120"{invalid}>
<datalist id="streets"></datalist>
<details{" open" if wrong in ("lat", "lon") else ""}><summary>{_t(say("ask.place.degrees"))}</summary><div class="pair">
{degrees}</div></details></fieldset>"""


def _item(name: str, say: Words, *, needed: bool, wrong: bool) -> str:
    item = load_instrument(name).items[0]
    language = say.language if say.language in item.words else next(iter(item.words))
    buttons = "".join(
        f'<label class="choice"><input type="radio" name="item-{name}" value="{category}"'
        f"{' required' if needed else ''}><span>{_t(answer)}</span></label>"
        for category, answer in enumerate(item.answers[language], start=1)
    )
    hint = say("ask.now") if needed else say("ask.optional")
    skip = "" if needed else _skip(f"item-{name}", say)
    invalid = ' aria-invalid="true"' if wrong else ""
    return f"""<fieldset class="card item" lang="{language}"{invalid}><legend>{_t(item.words[language])}</legend>
<p class="note" lang="{say.language}">{_t(hint)}</p>{buttons}{skip}</fieldset>"""


def _about(say: Words) -> str:
    alone = "".join(
        f'<label class="choice"><input type="radio" name="alone" value="{code}"'
        f"{' checked' if code == CODES['alone'][-1] else ''}><span>{_t(_code_word('alone', code, say))}</span></label>"
        for code in CODES["alone"]
    )
    selects = "".join(_select(name, CODES[name], say) for name in ABOUT if name != "alone")
    return f"""<fieldset class="card"><legend>{_t(say("ask.alone"))}</legend>{alone}</fieldset>
<details class="card"><summary>{_t(say("ask.about"))}</summary>
<p class="note">{_t(say("ask.about.note"))}</p>{selects}</details>"""


def _select(name: str, codes: Sequence[str], say: Words) -> str:
    options = "".join(
        f'<option value="{escape(code)}">{_t(_code_word(name, code, say))}</option>'
        for code in (codes[-1], *codes[:-1])
    )
    return f'<label for="{name}">{_t(say(f"ask.{name}"))}</label><select id="{name}" name="{name}">{options}</select>'


def _code_word(name: str, code: str, say: Words) -> str:
    """Ages are written the same in every language."""
    if code == "undisclosed":
        return say("ask.undisclosed")
    return code.replace("-", "–") if name == "age_band" else say(f"ask.{name}.{code}")


def _skip(name: str, say: Words) -> str:
    return (
        f'<label class="choice"><input type="radio" name="{name}" value="" checked>'
        f"<span>{_t(say('ask.undisclosed'))}</span></label>"
    )


def _receipts(say: Words) -> str:
    return f"""<section class="card" id="mine" hidden><h2>{_t(say("ask.mine"))}</h2>
<p class="note">{_t(say("ask.mine.note"))}</p><ul id="receipts"></ul>
<button type="button" id="another" class="plain">{_t(say("ask.another"))}</button></section>
<section class="card"><h2>{_t(say("ask.erase.title"))}</h2>
<form id="eraser" method="post" action="/ask/erase">{_hidden("lang", say.language)}
<label for="code">{_t(say("ask.erase.code"))}</label>
<input id="code" name="receipt" maxlength="40" autocapitalize="characters" autocomplete="off" spellcheck="false"
required><button class="plain">{_t(say("ask.erase"))}</button>
<p id="erasenote" class="note" role="status"></p></form></section>"""


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value, quote=True)}">'


def _t(text: str) -> str:
    return escape(text, quote=True)
