"""Operations: is all well, what would do where it is not, and below that how each part of the service is doing.

For admins. It reads what the processes leave in files; nothing here starts, stops or changes anything.
"""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html

from dashboard.pages.account_menu import role_notice
from dashboard.pages.chapters import table
from dashboard.pages.context import Asked, House, asked
from dashboard.pages.frame import header
from dashboard.roles import may
from dashboard.words import Words
from sensors.night import parse_rfc3339

TICK_MS = 5_000
_STATES = ("connected", "retrying", "stopped", "never", "unreadable")
_MAPPER = ("starting", "live", "before-dusk", "after", "no-model", "no-answers", "shares-alone", "no-readings",
           "catching-up", "trouble", "stopped", "never", "unreadable")  # fmt: skip
_JOBS = ("waiting", "running", "done", "failed", "cancelled", "broken")
_COLUMNS = ("time", "who", "role", "what", "detail", "name", "title", "author", "state", "done", "steps")


def layout(house: House, asked: Asked) -> list[Any]:
    """The page."""
    say = asked.say
    if not may(asked.role, "operations"):
        return [header(house, asked, "operations"), _main(role_notice(house, asked, "operations"))]
    parts = [
        html.H1(say("operations.title", city=house.city.name)),
        *([html.P(html.Strong(say("simulated.mark")), className="simulated")] if house.city.simulated else []),
        html.Div(_body(house, asked), id="operations-body"),
        html.P(
            [say("operations.machines"), " ", html.A("/operations.json", href="/operations.json")], className="note"
        ),
        dcc.Interval(id="operations-tick", interval=TICK_MS),
    ]
    return [header(house, asked, "operations"), _main(parts)]


def register(app: Dash, house: House) -> None:
    """Looking again every five seconds."""

    @app.callback(
        Output("operations-body", "children"),
        Input("operations-tick", "n_intervals"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def look(_tick: Any, search: Any) -> list[Any]:
        wanted = asked("/operations", str(search or ""), house.role_of(dict(ctx.cookies)))
        if not may(wanted.role, "operations"):
            return [html.P(wanted.say("operations.role"))]
        return _body(house, wanted)


def _main(parts: list[Any]) -> html.Main:
    return html.Main(html.Article(parts), id="main", className="text about operations", tabIndex=0)


def _body(house: House, asked: Asked) -> list[Any]:
    """What changes between two looks: something always does, if only how long the process has run."""
    told = house.operations.state(house.city, house.clock)
    say = asked.say
    return [
        _verdict(told["findings"], say),
        html.P(say("operations.at", time=_moment(told["time"], say, house)), className="note"),
        html.H2(say("operations.ingest")),
        *_ingest(told["ingest"], say, house),
        html.H2(say("operations.refused")),
        *_refused(told["refused"], say, house),
        html.H2(say("operations.sites")),
        *_sites(told["sites"], say, house),
        html.H2(say("operations.mapper")),
        *_mapper(told["mapper"], say, house),
        html.H2(say("operations.disk")),
        *_disk(told["disk"], say, house),
        html.H2(say("operations.web")),
        *_web(told, say),
        html.H2(say("operations.desk")),
        *_desk(told["desk"], say),
        html.H2(say("operations.versions")),
        *_versions(told["versions"], say),
    ]


def _verdict(found: list[dict[str, Any]], say: Words) -> html.Div:
    """Plain words first: all is well, or what is not and what would do."""
    if not found:
        return html.Div(html.P(html.Strong(say("operations.well"))), className="verdict", role="status")
    lines = []
    for one in found:
        values = {name: _value(name, value, say) for name, value in one["values"].items()}
        sign = say("operations.grave") if one["grave"] else say("operations.look")
        lines.append(
            html.Li(
                [
                    html.Strong(f"{sign} · "),
                    say(f"finding.{one['code']}", **values),
                    html.Br(),
                    html.Span(say(f"finding.{one['code']}.do"), className="do"),
                ],
                className="grave" if one["grave"] else "",
            )
        )
    return html.Div([html.P(html.Strong(say.many("operations.found", len(found)))), html.Ul(lines)],
                    className="verdict", role="status")  # fmt: skip


def _value(name: str, value: Any, say: Words) -> str:
    if name == "bytes":
        return _bytes(value, say)
    if name == "seconds":
        return _duration(value, say)
    if name == "what":
        return say(f"operations.{value}")
    return say.number(value) if isinstance(value, int | float) else str(value)


def _ingest(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    state = say(f"ingest.{told['state']}") if told["state"] in _STATES else str(told["state"])
    rows: list[tuple[str, Any]] = [("operations.state", state), ("operations.says", _quoted(told["sentence"]))]
    if "counts" not in told:
        return [_rows(rows, say)]
    counts, rates = told["counts"], told["rates"]
    waiting = told["waiting"] or {}
    segment = told["newest_segment"]
    rows += [
        ("operations.broker", told["broker"]),
        ("operations.since", _moment(told["since"], say, house)),
        ("operations.last", _moment(told["last_received"], say, house)),
        ("operations.lag", _duration(told["quiet_s"], say)),
        (
            "operations.counts",
            say(
                "operations.counted",
                received=say.number(counts.get("received", 0)),
                stored=say.number(counts.get("stored", 0)),
                twice=say.number(counts.get("duplicates", 0)),
                refused=say.number(counts.get("refused", 0)),
            ),
        ),
        (
            "operations.rates",
            say(
                "operations.rated",
                received=say.number(rates["received"], 1),
                stored=say.number(rates["stored"], 1),
            )
            if rates
            else say("operations.notyet"),
        ),
        ("operations.online", _count(told["devices_online"], say)),
        ("operations.reconnects", _count(told["reconnects"], say)),
        (
            "operations.waiting",
            say(
                "operations.waits",
                messages=say.number(int(waiting.get("messages", 0))),
                size=_bytes(int(waiting.get("bytes", 0)), say),
            ),
        ),
        ("operations.holding", say("word.yes") if told["holding"] else say("word.no")),
        ("operations.receiver", told["receiver"] or "–"),
        (
            "operations.segment",
            say(
                "operations.segmented",
                name=segment["name"],
                size=_bytes(segment["bytes"], say),
                time=_moment(segment["written"], say, house),
            )
            if segment
            else say("operations.nosegment"),
        ),
    ]
    parts: list[Any] = [_rows(rows, say)]
    if told["shards"]:
        heads = [say(f"operations.{name}") for name in ("shard", "state", "received", "refusedcount", "says")]
        shards = [
            [one["shard"], say(f"ingest.{one['state']}") if one["state"] in _STATES else one["state"],
             say.number(one["received"]), say.number(one["refused"]), _quoted(one["sentence"])]
            for one in told["shards"]
        ]  # fmt: skip
        parts.append(table(say("operations.shards"), heads, shards))
    return parts


def _refused(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    if "kinds" not in told:
        return _unmeasured(told, say)
    if not told["kinds"]:
        return [html.P(say("operations.norefused")), *_measured(told, say, house)]
    heads = [say(f"operations.{name}") for name in ("kind", "hour", "day", "newest")]
    rows = [
        [_quoted(one["kind"]), say.number(one["hour"]), say.number(one["day"]), _moment(one["newest"], say, house)]
        for one in told["kinds"]
    ]
    part = [] if told["whole_log"] else [html.P(say("operations.partlog"), className="note")]
    note = html.P(say("operations.nopayload"), className="note")
    return [table(say("operations.refused"), heads, rows), *part, note, *_measured(told, say, house)]


def _sites(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    if "sites" not in told:
        return _unmeasured(told, say)
    words = say(
        "operations.sitecounts",
        sites=say.number(told["sites"]),
        silent=say.number(told["silent"]),
        late=say.number(told["late"]),
        faulty=say.number(told["faulty"]),
    )
    parts: list[Any] = [html.P(words)]
    if told["first_silent"]:
        heads = [say(f"operations.{name}") for name in ("site", "device", "quantity", "lastreading")]
        rows = [
            [str(one["site"]), one["device"], one["quantity"], _moment(one["last"] or None, say, house)]
            for one in told["first_silent"]
        ]
        parts.append(table(say("operations.silent"), heads, rows))
        if told["silent"] > len(rows):
            more = say.number(told["silent"] - len(rows))
            parts.append(html.P(say("operations.moresilent", count=more), className="note"))
    return [*parts, *_measured(told, say, house)]


def _mapper(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    state = say(f"mapper.{told['state']}") if told["state"] in _MAPPER else str(told["state"])
    rows: list[tuple[str, Any]] = [("operations.state", state), ("operations.says", _quoted(told["sentence"]))]
    if "lag_s" in told:
        page = "–" if told["page"] is None else str(told["page"])
        rows += [
            ("operations.step", _moment(told["step"], say, house)),
            ("operations.behind", _duration(told["lag_s"], say)),
            ("operations.render", _milliseconds(told["last_render_ms"], say)),
            ("operations.topage", _duration(told["message_to_page_p95_s"], say)),
            ("operations.model", told["model"] or "–"),
            ("operations.page", page),
            ("operations.written", _moment(told["written"], say, house)),
        ]
    return [_rows(rows, say)]


def _disk(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    if "free_bytes" not in told:
        return _unmeasured(told, say)
    rows: list[tuple[str, Any]] = [
        ("operations.free", say("operations.freeof", free=_bytes(told["free_bytes"], say),
                                whole=_bytes(told["whole_bytes"], say))),
        ("operations.night", "–" if told["night_bytes"] is None else _bytes(told["night_bytes"], say)),
        ("operations.growth", say("operations.grown", size=_bytes(told["grown_bytes"], say),
                                  hours=say.number(told["grown_hours"], 1))
         if told["grown_hours"] >= 0.1 else say("operations.notyet")),
    ]  # fmt: skip
    shelves = [
        [say(f"shelf.{name}"), _bytes(size, say)]
        for name, size in sorted(told["shelves"].items(), key=lambda one: -one[1])
        if size
    ]
    heads = [say("operations.shelf"), say("operations.size")]
    part = [] if told["all_counted"] else [html.P(say("operations.partdisk"), className="note")]
    return [_rows(rows, say), table(say("operations.shelves"), heads, shelves), *part, *_measured(told, say, house)]


def _web(told: dict[str, Any], say: Words) -> list[Any]:
    web, clock = told["web"], told["clock"]
    rows: list[tuple[str, Any]] = [
        ("operations.process", str(web["process"])),
        ("operations.running", _duration(web["since_s"], say)),
        ("operations.listening", say.number(web["listening"])),
        ("operations.memory", "–" if web["memory_bytes"] is None else _bytes(web["memory_bytes"], say)),
        ("operations.threads", say.number(web["threads"])),
        (
            "operations.clock",
            say("operations.drivenclock", speed=say.significant(clock["speed"]))
            if clock["simulated"]
            else say("operations.systemclock"),
        ),
    ]
    return [_rows(rows, say), html.P(say("operations.worker"), className="note")]


def _desk(told: dict[str, Any], say: Words) -> list[Any]:
    if not told["there"]:
        return [html.P(say("operations.nodesk"))]
    if told["unread"]:
        return [html.P([say("operations.deskunread"), " ", _quoted(told["unread"])])]
    parts: list[Any] = []
    jobs = [(f"job.{state}", say.number(told["jobs"][state])) for state in _JOBS if state in told["jobs"]]
    if jobs:
        parts.append(_rows(jobs, say))
    for name in ("last_jobs", "audit"):
        rows = told[name]
        if rows:
            columns = [column for column in rows[0] if column in _COLUMNS]
            cells = [[one.get(column, "") or "–" for column in columns] for one in rows]
            title = say(f"operations.{name}")
            heads = [say(f"deskcolumn.{column}") for column in columns]
            parts += [html.H3(title), table(title, heads, cells)]
    return parts or [html.P(say("operations.emptydesk"))]


def _versions(told: dict[str, Any], say: Words) -> list[Any]:
    rows = [["Python", told["python"]], *([name, number] for name, number in told["packages"].items())]
    formats = [
        [name, "–" if one["found"] is None else str(one["found"]), str(one["reads"])]
        for name, one in told["formats"].items()
    ]
    heads = [say(f"operations.{name}") for name in ("shelf", "formatfound", "formatread")]
    lock = told["lock"] or say("operations.nolock")
    return [
        table(say("operations.packages"), [say("operations.package"), say("operations.version")], rows),
        table(say("operations.formats"), heads, formats),
        html.P(say("operations.lock", digest=lock), className="note"),
    ]


def _rows(rows: list[tuple[str, Any]], say: Words) -> html.Table:
    return html.Table(html.Tbody([html.Tr([html.Th(say(key), scope="row"), html.Td(said)]) for key, said in rows]),
                      className="facts")  # fmt: skip


def _unmeasured(told: dict[str, Any], say: Words) -> list[Any]:
    if told["failed"]:
        return [html.P([say("operations.failed"), " ", _quoted(told["failed"])])]
    return [html.P(say("operations.measuring"))]


def _measured(told: dict[str, Any], say: Words, house: House) -> list[Any]:
    when = _moment(told["measured"], say, house)
    parts: list[Any] = [html.P(say("operations.measured", time=when), className="note")]
    return [*parts, *(_unmeasured(told, say) if told["failed"] else [])]


def _quoted(sentence: str) -> Any:
    """What a process says of itself, which it does in English."""
    return html.Span(sentence, lang="en") if sentence else "–"


def _count(value: Any, say: Words) -> str:
    return say.number(value) if isinstance(value, int | float) else "–"


def _moment(text: Any, say: Words, house: House) -> str:
    """A time in the city's zone."""
    if not text:
        return say("operations.notyet")
    try:
        time = parse_rfc3339(str(text))
    except ValueError:
        return str(text)[:40]
    local = say.moment(time, house.city.zone)
    return f"{local}:{str(time.astype('datetime64[s]'))[-2:]}"


def _duration(seconds: Any, say: Words) -> str:
    """Seconds as people say them; never below nothing."""
    if not isinstance(seconds, int | float):
        return say("operations.notyet")
    seconds = max(float(seconds), 0.0)
    if seconds < 10:
        return say("duration.s", count=say.number(seconds, 1))
    if seconds < 120:
        return say("duration.s", count=say.number(seconds))
    if seconds < 7200:
        return say("duration.min", count=say.number(seconds / 60))
    return say("duration.h", count=say.number(seconds / 3600)) if seconds < 172_800 else say(
        "duration.d", count=say.number(seconds / 86_400)
    )  # fmt: skip


def _milliseconds(value: Any, say: Words) -> str:
    return say("duration.ms", count=say.number(value)) if isinstance(value, int | float) else say("operations.notyet")


def _bytes(size: int, say: Words) -> str:
    """A size in decimal units."""
    for unit, whole in (("tb", 1e12), ("gb", 1e9), ("mb", 1e6), ("kb", 1e3)):
        if abs(size) >= whole:
            return say(f"size.{unit}", count=say.number(size / whole, 1))
    return say("size.b", count=say.number(size))
