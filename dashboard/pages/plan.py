"""Plan: what scenarios would change, as a table and as a map of differences, and the desk on which they are made."""

from __future__ import annotations

from typing import Any

from dash import Dash, html

from analytics import atlas
from analytics.scenario import LAMP_NUMBERS
from dashboard.comparing import comparison, plan_options
from dashboard.components import PlanDesk, aria
from dashboard.pages.account_menu import role_notice
from dashboard.pages.context import Asked, House
from dashboard.pages.frame import address, header
from dashboard.pages.stage import embedded, page
from dashboard.roles import ROLES, may
from dashboard.runs import PLAN
from dashboard.scales import CHANGES
from dashboard.words import Words

Row = dict[str, Any]

_DIGITS = {"illuminance": 2, "safety": 1, "energy_kwh": 0}
_LAMPS = ("lamps_changed", "lamps_added", "lamps_removed")
_NEW = "-"  # in the address: a scenario that is being begun
_DESK_WORDS = (
    "name", "fold", "unfold", "tab_lamps", "tab_changes", "tab_whole", "tab_compare", "scenario", "new_one", "undo",
    "redo", "compute", "untitled", "not_begun", "of_file", "saved", "saving", "stale", "not_saved", "conflict",
    "take_theirs",
    "keep_mine", "keep_copy", "close", "cancel", "job_waiting", "job_starting", "job_running", "job_failed",
    "job_cancelled", "job_broken", "job_waiting_word", "job_running_word", "job_done_word", "job_failed_word",
    "job_cancelled_word", "job_broken_word", "job_line", "jobs", "no_jobs", "show", "open", "lamps_one", "lamps_many",
    "changes_one", "changes_many", "in_street", "from_to", "all_night", "off", "full", "to_level", "removed",
    "replaced", "dimmed", "added", "both_ends", "ends_early", "level_range", "give_one", "out_of_range",
    "change_chosen", "what", "what_dim", "what_replace", "what_remove", "from", "to", "level", "more_hours",
    "drop_hours", "hours_note", "unchanged", "apply", "choose_first", "changes", "choose_its", "drop", "no_changes",
    "add_lamps", "snap", "add_click", "add_centre", "add_there", "place", "make", "import", "title", "rename",
    "made_by", "duplicate", "archive", "unarchive", "keep_version", "out", "out_toml", "out_csv", "out_geojson",
    "versions", "version_line", "kept", "current", "restore", "restore_version", "archived", "copy_of", "two_needed",
    "ab_caption", "ab_what", "ab_note", "swipe", "wrong_net", "wrong_size", "loading", "tools", "tool_look",
    "tool_each", "tool_box", "tool_lasso", "tool_street", "tool_section", "help_each", "help_box", "help_lasso",
    "help_street", "help_section", "help_add", "mode", "mode_replace", "mode_join", "mode_take", "close_shape",
    "drop_shape", "all_shown", "invert", "clear", "only_chosen", "by_words", "by_street", "choose", "corner_a",
    "corner_b", "choose_box", "search", "filters", "no_filters", "any", "yes", "no", "range_from", "range_to",
    "count", "table", "mark", "is_chosen", "not_chosen", "chosen_head", "lux_note", "sort_by", "backwards", "keys",
)  # fmt: skip
_COLUMNS = (
    "lamp", "asset_id", "street", "luminaire", "cct_k", "watts", "lumens", "height_m", "cabinet", "circuit",
    "installed", "year", "required", "lux", "state", "planned",
)  # fmt: skip
_STATES = ("unknown", "fine", "fault")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page; without a scenario in its address it opens the newest that was computed."""
    say = asked.say
    if not may(asked.role, "plan"):
        return [header(house, asked, "plan"), _notice(*role_notice(house, asked, "plan"))]
    names = house.runs.plans()
    wanted = asked.query.get("scenario", "")
    chosen = wanted or (names[0] if names else _NEW)
    extra = [_table(house, asked, names, chosen), html.P(say("plan.note"), className="note")]
    if chosen in names and len(names) > 1:
        extra.append(comparison(house, asked, PLAN + chosen, plan_options(house, asked, PLAN + chosen)))
    children = page(house, asked, "plan", PLAN + chosen, CHANGES, say("title.plan"), extra)
    return children if embedded(asked) else [*children, _desk(house, asked, names, chosen)]


def register(app: Dash, house: House) -> None:
    """Nothing beyond the stage: choosing a scenario opens its address, and the desk asks `dashboard/planning.py`."""


def _desk(house: House, asked: Asked, names: list[str], chosen: str) -> Any:
    """Where lamps are chosen and scenarios made; its script comes when the page is first opened."""
    planned = [{"name": name, "title": _title(atlas.plan_meta(house.city, name) or {}, name)} for name in names]
    words = desk_words(asked.say, str(house.city.zone))
    desk = PlanDesk(id="desk", scenario=chosen, planned=planned, words=words)
    return html.Section(desk, id="plandesk", className="plandesk", **aria(label=words["name"]))


def desk_words(say: Words, zone: str) -> Row:
    """Every sentence of the desk in one language, and the bounds that a lamp's values keep."""
    return {name: say(f"desk.{name}") for name in _DESK_WORDS} | {
        "language": say.language,
        "zone": zone,
        "roles": {role: say(f"role.{role}") for role in ROLES},
        "columns": {name: say(f"desk.column_{name}") for name in _COLUMNS},
        "fields": {name: say(f"desk.field_{name}") for name in (*LAMP_NUMBERS, "luminaire")},
        "values": {name: say(f"desk.value_{name}") for name in (*LAMP_NUMBERS, "luminaire")},
        "states": [say(f"desk.state_{name}") for name in _STATES],
        "limits": {name: list(limits) for name, limits in LAMP_NUMBERS.items()},
    }


def _title(meta: Row, name: str) -> str:
    return str(meta.get("title") or name)


def _table(house: House, asked: Asked, names: list[str], chosen: str) -> html.Div:
    """One card a scenario: what it would change, with 90 % intervals."""
    cards = []
    for name in names:
        meta = atlas.plan_meta(house.city, name) or {}
        rows = scenario_rows(meta, asked.say)
        link = html.A(_title(meta, name), href=address(asked, "/plan", scenario=name))
        body = html.Table(html.Tbody([html.Tr([html.Th(head, scope="row"), html.Td(text)]) for head, text in rows]))
        current = aria(current="true") if name == chosen else {}
        cards.append(html.Div([html.H2(link), *([body] if name == chosen else [])], className="scenario", **current))
    return html.Div(cards, className="scenarios")


def scenario_rows(meta: Row, say: Words) -> list[tuple[str, str]]:
    """The table of a planned scenario in words; what it does not hold is left out."""
    table = meta.get("table") or {}
    row: Row = (table[0] if table else {}) if isinstance(table, list) else table
    shown = []
    for key in ("illuminance", "safety", "energy_kwh", "passages"):
        value = row.get(key)
        if value is None:
            continue
        text = _signed(_amount(key, value, say)) + say(f"plan.{key}.unit")
        low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
        if low is not None and high is not None:
            text += "\n" + say("plan.interval", low=_amount(key, low, say), high=_amount(key, high, say))
        shown.append((say(f"plan.{key}"), text))
    if meta.get("preview"):
        shown.append((say("plan.look"), say("plan.preview")))
    if row.get("passages_untold"):
        shown.append((say("plan.untold"), say.significant(float(row["passages_untold"]))))
    if meta.get("night"):
        kind = "plan.typical" if meta.get("typical") else "plan.given"
        shown.insert(0, (say("plan.night"), say(kind, day=say.short_day(str(meta["night"])).replace(" ", "\u00a0"))))
    lamps = [say(f"plan.{key}", count=say.number(row[key])) for key in _LAMPS if row.get(key)]
    if lamps:
        shown.insert(0, (say("plan.lamps"), ", ".join(lamps)))
    return shown


def _amount(key: str, value: float, say: Words) -> str:
    """With no more digits than the interval bears: passages are known to a tenth or so, never to one."""
    return say.significant(float(value)) if key == "passages" else say.number(float(value), _DIGITS[key])


def _signed(amount: str) -> str:
    """With a plus where it stands for a gain; what is shown as 0 has no sign."""
    if not amount.strip("− .,0"):
        return amount.lstrip("−")
    return amount if amount.startswith("−") else "+" + amount


def _notice(*parts: Any) -> html.Main:
    return html.Main(html.Article(list(parts)), id="main", className="text", tabIndex=0)
