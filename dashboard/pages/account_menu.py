"""Who is signed in, in the header, with the way out; and on a page that is of some roles only, the way in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from dash import html

from dashboard.pages.context import Asked, House, theme_of


def account_menu(house: House, asked: Asked) -> Any:
    """The role alone where nobody signs in; else the way in, or name, role and the way out."""
    say, who = asked.say, house.who()
    if who.name:
        kept = {"lang": say.language, "theme": theme_of(asked.query.get("theme", ""))}
        to = "/sign-out?" + urlencode({name: value for name, value in kept.items() if value})
        out = html.Button(say("sign.out"), type="submit", className="btn small")
        proxied: list[Any] = [html.P(say("sign.byproxy"), className="note")] if who.way == "proxy" else []
        told = say("sign.as", name=who.name, role=say(f"role.{who.role}"))
        form = html.Form(out, action=to, method="POST")
        return html.Details(
            [
                html.Summary([html.Span(who.name, className="who"), html.Span(say(f"role.{who.role}"))]),
                html.Div([html.P(told), *(proxied or [form])], className="account-card"),
            ],
            className="account",
        )
    role = html.Span(say(f"role.{asked.role}"), className="role")
    return html.Span([role, _link(asked, "sign.in")], className="account") if house.visitors.sign_in else role


def role_notice(house: House, asked: Asked, page: str) -> list[Any]:
    """The sentence that a page is of some roles only, and for who is not signed in the way to change that."""
    parts: list[Any] = [html.H1(asked.say(f"page.{page}")), html.P(asked.say(f"{page}.role"))]
    if house.visitors.sign_in and not house.who().name:
        parts.append(html.P(_link(asked, "sign.tosee")))
    return parts


def _link(asked: Asked, key: str) -> html.A:
    query = {name: value for name, value in asked.query.items() if name != "embed"}
    back = asked.path + (f"?{urlencode(query)}" if query else "")
    kept = {"lang": asked.say.language, "theme": theme_of(asked.query.get("theme", "")), "next": back}
    to = "/sign-in?" + urlencode({name: value for name, value in kept.items() if value})
    return html.A(asked.say(key), href=to, className="btn small", target="_self")
