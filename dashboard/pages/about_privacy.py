"""About, privacy: what is kept of whom, for what, how long, and what each may do about it (Article 13 GDPR)."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from dashboard.pages.about import excluded, uses
from dashboard.pages.chapters import chapter, table, terms, unsaid
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address

_KEPT = ("answers", "sensors", "accounts", "requests")
_NEVER = ("faces", "plates", "devices", "audio", "text", "position")
_COOKIES = ("session", "role")
_PHONE = ("choices", "waiting", "receipts", "phone", "form")
_RIGHTS = ("access", "erase", "object", "complain")


def layout(house: House, asked: Asked) -> list[Any]:
    """The chapter."""
    say, settings = asked.say, house.city.settings
    about, purpose = settings.about, settings.purpose
    basis, sign_in = settings.privacy.devices_seen_basis, settings.sign_in
    hours = say.number(sign_in.longest_hours, 0 if sign_in.longest_hours == round(sign_in.longest_hours) else 1)
    provider = sign_in.label or say("sign.somewhere")
    parts: list[Any] = [
        html.H1(say("privacy.title", city=house.city.name)),
        html.P(say("privacy.lead"), className="lead"),
        html.H2(say("privacy.who")),
        terms(
            [
                (say("privacy.controller"), unsaid(purpose.responsible, asked)),
                (say("privacy.contact"), unsaid(about.contact, asked)),
                (say("privacy.officer"), unsaid(about.protection_officer, asked)),
                (say("privacy.purposes"), unsaid(uses(house, say), asked)),
                (say("about.excluded"), unsaid(excluded(house, say), asked)),
                (say("privacy.basis"), unsaid(about.legal_basis, asked)),
                (say("about.retention"), unsaid(purpose.retention, asked)),
            ]
        ),
        html.H2(say("privacy.kept")),
        table(
            say("privacy.kept"),
            [say("privacy.what"), say("privacy.which"), say("privacy.howlong")],
            [[say(f"kept.{key}"), say(f"kept.{key}.what"), say(f"kept.{key}.long", hours=hours)] for key in _KEPT],
        ),
        html.H2(say("privacy.never")),
        html.Ul([html.Li(say(f"never.{key}")) for key in _NEVER]),
        html.P(say("privacy.radio", basis=basis) if basis else say("privacy.noradio")),
        html.H2(say("privacy.form")),
        html.P(say("privacy.form.text" if settings.asking.form else "privacy.form.closed")),
        html.P(say("privacy.receipt")),
        *([html.P(html.A(say("privacy.erase"), href=address(asked, "/ask"), className="btn"))]
          if settings.asking.form else []),
        html.H2(say("privacy.cookies")),
        html.Ul([html.Li(say(f"cookie.{key}", hours=hours)) for key in _COOKIES if key != "role" or house.switch]),
        html.P(say("privacy.phone")),
        html.Ul([html.Li(say(f"phone.{key}")) for key in _PHONE]),
        html.H2(say("privacy.third")),
        html.P(say("privacy.third.text")),
        *([html.P(say("privacy.third.provider", name=provider))] if sign_in.issuer else []),
        html.H2(say("privacy.decisions")),
        html.P(say("privacy.decisions.text")),
        html.H2(say("privacy.rights")),
        html.Ul([html.Li(say(f"right.{key}")) for key in _RIGHTS]),
        terms([(say("privacy.supervisor"), unsaid(about.supervisor, asked))]),
    ]  # fmt: skip
    return chapter(house, asked, "privacy", parts)


def register(app: Dash, house: House) -> None:
    """A page to read: nothing to register."""
