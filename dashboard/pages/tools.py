"""What Live and Research can do beside the map: watched places, journal entries, kiosk, low data, one's own place."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, html

from dashboard.components import Tools, Watch, data
from dashboard.pages.context import Asked, House
from dashboard.roles import may
from sensors.journal import KINDS, STATUSES

_WATCH = (
    "name", "label", "note", "save", "cancel", "rename", "remove", "removed", "undo", "left", "right", "show", "full",
    "copy", "copied", "byhand", "brought", "keep", "drop", "refused", "failed",
)  # fmt: skip
_JOURNAL = (
    "open", "title", "warn", "kind", "what", "start", "end", "place", "middle", "owner", "status", "due", "save",
    "cancel", "failed", "clock",
)  # fmt: skip
_KIOSK = (
    "open", "title", "note", "views", "none", "save", "name", "every", "start", "remove", "up", "down", "cancel",
    "paused", "full",
)  # fmt: skip
_MORE = ("name", "saving", "refresh", "locate", "here", "outside", "nolocate", "locatenote")


def tools(house: House, asked: Asked) -> list[Any]:
    """The tools below the legend, of pages that have them; each is offered to who may use it."""
    if asked.path not in ("/", "/research"):
        return []
    say, live = asked.say, asked.path == "/"
    offered = ["watch", "kiosk", "saving", "locate"] if live else []
    offered += ["journal"] if may(asked.role, "journal") else []
    if not offered:
        return []
    labels = {f"journal.{name}": say(f"journal.form.{name}") for name in _JOURNAL}
    labels |= {f"kiosk.{name}": say(f"kiosk.{name}") for name in _KIOSK}
    labels |= {f"tools.{name}": say(f"tools.{name}") for name in _MORE}
    labels["tools.watch"] = say("watch.middle")
    kinds = [{"value": kind, "label": say(f"journal.{kind}")} for kind in KINDS]
    statuses = [{"value": status, "label": say(f"journal.status.{status}")} for status in STATUSES]
    zone = house.city.zone.key
    return [Tools(id="tools", labels=labels, may=offered, kinds=kinds, statuses=statuses, zone=zone)]


def watch_strip(asked: Asked) -> list[Any]:
    """The strip of watched places above the time bar, on Live."""
    labels = {f"watch.{name}": asked.say(f"watch.{name}") for name in _WATCH}
    return [Watch(id="watch", labels=labels)] if asked.path == "/" else []


def watch_button(asked: Asked) -> list[Any]:
    """Watch the place that is read, on Live."""
    if asked.path != "/":
        return []
    return [html.Button(asked.say("watch.this"), type="button", className="btn small", **data(watch="place"))]


def register_tools(app: Dash) -> None:
    """Watched places follow what the map shows."""
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("noctule", "watched"), Output("watch", "view"), Input("map", "view")
    )
