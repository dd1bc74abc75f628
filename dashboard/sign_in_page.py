"""The sign-in page as plain HTML: it needs no scripts, and nothing that was typed comes back in it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from dashboard.words import LANGUAGES, Words

FORM_CSS = "/sign-in/form.css"
OWN_CSS = "/sign-in/sign-in.css"


@dataclass(frozen=True)
class SignInView:
    """What the page says.

    back : where to go afterwards, an address of ours; theme : '' where the device decides
    provider : what the provider is called, '' without one; local : whether there are accounts
    wrong, told : a sentence that something went wrong, or that something was done
    name, role : who is signed in, '' otherwise
    """

    city: str
    version: str
    back: str = "/"
    theme: str = ""
    provider: str = ""
    local: bool = False
    wrong: str = ""
    told: str = ""
    name: str = ""
    role: str = ""


def sign_in_page(view: SignInView, say: Words) -> str:
    """The page, with the form, the provider's button, or who is signed in."""
    kept = {"next": view.back, **({"theme": view.theme} if view.theme else {})}
    wrong = f'<p class="wrong" id="wrong" role="alert">{_t(view.wrong)}</p>' if view.wrong else ""
    told = f'<p class="card" role="status">{_t(view.told)}</p>' if view.told else ""
    lead = "" if view.name else f'<p class="lead">{_t(say("sign.lead"))}</p>'
    parts = _signed_in(view, say) if view.name else _provider(view, say, kept) + _local(view, say)
    languages = "".join(
        f'<a href="/sign-in?{_t(urlencode({"lang": code, **kept}))}" lang="{code}" hreflang="{code}">{_t(name)}</a>'
        for code, name in LANGUAGES.items()
        if code != say.language
    )
    theme = f' data-theme="{_t(view.theme)}"' if view.theme else ""
    title = say("sign.title")
    return f"""<!DOCTYPE html>
<html lang="{say.language}"{theme}>
<head>
<meta charset="utf-8">
<title>{_t(title)} · {_t(view.city)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{FORM_CSS}?{view.version}">
<link rel="stylesheet" href="{OWN_CSS}?{view.version}">
</head>
<body>
<header><span><b>Noctule</b> {_t(view.city)}</span>
<nav aria-label="{_t(say("ask.languages"))}">{languages}</nav></header>
<main>
<h1>{_t(title)}</h1>
{lead}{told}{wrong}{parts}
<p><a class="plain" href="{_t(view.back)}">{_t(say("sign.on" if view.name else "sign.without"))}</a></p>
</main>
<footer><p>{_t(say("sign.footer"))}</p></footer>
</body>
</html>
"""


def _provider(view: SignInView, say: Words, kept: dict[str, str]) -> str:
    if not view.provider:
        return ""
    to = "/sign-in/provider?" + urlencode({"lang": say.language, **kept})
    return f'<p><a class="send" href="{_t(to)}">{_t(say("sign.provider", name=view.provider))}</a></p>'


def _local(view: SignInView, say: Words) -> str:
    if not view.local:
        return "" if view.provider else f'<p class="card">{_t(say("sign.none"))}</p>'
    invalid = ' aria-invalid="true" aria-describedby="wrong"' if view.wrong else ""
    return f"""<form class="card" method="post" action="/sign-in">
<h2>{_t(say("sign.local"))}</h2>
<input type="hidden" name="lang" value="{say.language}"><input type="hidden" name="theme" value="{_t(view.theme)}">
<input type="hidden" name="next" value="{_t(view.back)}">
<label for="name">{_t(say("sign.name"))}</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64"
required{invalid}>
<label for="password">{_t(say("sign.password"))}</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="256" required{invalid}>
<p><button class="send">{_t(say("sign.in"))}</button></p>
<p class="note">{_t(say("sign.forgotten"))}</p>
</form>"""


def _signed_in(view: SignInView, say: Words) -> str:
    to = "/sign-out?" + urlencode({"lang": say.language, **({"theme": view.theme} if view.theme else {})})
    return f"""<form class="card" method="post" action="{_t(to)}">
<p>{_t(say("sign.as", name=view.name, role=view.role))}</p>
<p><button class="send">{_t(say("sign.out"))}</button></p>
</form>"""


def _t(text: str) -> str:
    return escape(text, quote=True)
