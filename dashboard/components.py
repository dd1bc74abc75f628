"""Our own page elements as Dash components, without a build step.

Their scripts in `assets/` register functions under `window.noctule`. Controls are native HTML: Dash's own radio items,
sliders and check lists fail the accessibility rules (axe-core, reference/dashboard.md 3.4).
"""

from __future__ import annotations

from typing import Any

from dash.development.base_component import Component


def aria(**values: str) -> dict[str, Any]:
    """Attributes for assistive technology: `aria(label="Close")` is aria-label."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: str) -> dict[str, Any]:
    """Attributes for style sheets and scripts: `data(layer="noise")` is data-layer."""
    return {f"data-{name}": value for name, value in values.items()}


def _component(name: str, properties: list[str]) -> Any:
    def start(self: Component, **values: Any) -> None:
        Component.__init__(self, **values)  # type: ignore[no-untyped-call]

    members = {
        "__init__": start,
        "__module__": __name__,
        "_children_props": [],
        "_base_nodes": ["children"],
        "_namespace": "noctule",
        "_type": name,
        "_prop_names": properties,
        "available_properties": properties,
        "_valid_wildcard_attributes": ["data-", "aria-"],
        "available_wildcard_properties": ["data-", "aria-"],
    }
    return type(name, (Component,), members)


# The map: `config` is of the page; `view` is {run, frame, version, layer, overlays}; `reading` is the place
# that is read.
NightMap = _component("NightMap", ["id", "config", "view", "reading"])
# One of several: radio buttons. `options` are {value, label}.
Choice = _component("Choice", ["id", "legend", "options", "value"])
# One of many, in one line: `options` may be {..., disabled}; `words` are for scripts.
Pick = _component("Pick", ["id", "legend", "options", "value", "words"])
# The theme, kept in the address; '' leaves it to the device.
ThemePick = _component("ThemePick", ["id", "legend", "options", "value"])
# The comparison with the usual: `scene` says what it is compared with; `value` is whether it is shown.
Versus = _component("Versus", ["id", "label", "note", "scene", "value"])
# Watched places: `view` is the map's, so that their values are those of the step and the layer that are shown.
Watch = _component("Watch", ["id", "labels", "view"])
# What a page can do beside: watch, journal, kiosk, low data, one's own place. `may` lists which of them.
Tools = _component("Tools", ["id", "labels", "may", "kinds", "statuses", "zone"])
# Some of several: check boxes. `value` is a list.
Choices = _component("Choices", ["id", "legend", "options", "value"])
# The night's steps with play, marks of the journal and, on Live, the way back to now.
TimeBar = _component("TimeBar", ["id", "labels", "scene", "value", "follow", "playing"])
# Nights by month: `nights` are [night, closed steps, all steps, kind of special night, words], `beside` is compared.
NightCalendar = _component("NightCalendar", ["id", "legend", "labels", "nights", "value", "beside", "language"])
# Speed, steps, stretch and hours under the time bar; `readings` are how many came with each step.
TimeTools = _component("TimeTools", ["id", "labels", "readings"])
# How to cite the view: `text`, `bibtex`, `command` and `call` have places that the browser fills in; `layers` and
# `exports` are a layer's name for people and for an export.
Cite = _component("Cite", ["id", "labels", "text", "bibtex", "command", "call", "layers", "exports"])
# What sensors measured less what the map says, of a night.
Residuals = _component("Residuals", ["id", "labels", "night"])
# Pictures of the view to take along: PNG, or the night as a loop.
Pictures = _component("Pictures", ["id", "labels", "city"])
# Places through the night as curves; `table` is whether this role may take them along.
Probes = _component("Probes", ["id", "legend", "labels", "table"])
# Asks for the table of places in view: `asked` is {run, frame, version, layer, box, zoom}.
TableButton = _component("TableButton", ["id", "label", "asked"])
# A line through the night in the colours of the theme: `svg` with names of colours in it.
Curve = _component("Curve", ["id", "svg", "alt"])
# Copies an address that shows this view at this moment, also tomorrow.
CopyLink = _component("CopyLink", ["id", "label", "copied", "by_hand"])
# On a projector: the view's address as a picture that a phone reads.
Wall = _component("Wall", ["id", "label", "alt"])
# Asks the server for the view as a PDF and hands it to the browser.
SheetButton = _component("SheetButton", ["id", "label", "making", "failed"])
# The list of keys: `rows` are [keys, what they do].
Keys = _component("Keys", ["id", "label", "title", "rows", "letters", "close"])
# On a phone: the handle of the tray, with a line of legend; moves panel, details and time between three stops.
Tray = _component("Tray", ["id", "labels"])
# On a phone: the button behind which the header keeps pages, role, theme and language.
Menu = _component("Menu", ["id", "label", "controls"])
# Listens to the server and fetches the scene when something changed; `trouble` is '', 'reconnecting' or 'polling'.
Follow = _component("Follow", ["id", "url", "live", "labels", "scene", "trouble"])
# The desk of the Plan page: `scenario` names the one to open, `planned` are {name, title} of those with results.
PlanDesk = _component("PlanDesk", ["id", "scenario", "planned", "words"])
# The demo's switch between roles; the server decides what a role may see.
RoleSwitch = _component("RoleSwitch", ["id", "label", "note", "options", "value"])
# A second run beside the page's own: `value` is what the address names, `run` the scene to ask for, `name` and `here`
# what both sides are called; `options` and `layers` are {value, label}.
Compare = _component(
    "Compare", ["id", "legend", "labels", "value", "run", "known", "name", "here", "options", "layers"]
)
