"""The commands of the room `ingest`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import date

    from ingest.dead_letters import Wanted
    from sensors.city import City

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]

history_app = typer.Typer(help="Years of existing records, without MQTT.", no_args_is_help=True)
talq_app = typer.Typer(help="What a lighting management system (TALQ 2.7) reports.", no_args_is_help=True)


reports_app = typer.Typer(help="Reports of reporting apps (Open311, FixMyStreet).", no_args_is_help=True)
survey_app = typer.Typer(help="Survey answers: check, import, collect, decide, remove.", no_args_is_help=True)


class Decision(StrEnum):
    """What becomes of answers in quarantine."""

    IN = "in"
    OUT = "out"
    WAITING = "waiting"


_DECIDED = {Decision.IN: "let in", Decision.OUT: "left out", Decision.WAITING: "undecided again, and stay out"}


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("ingest")(ingest)
    app.command("broker")(broker)
    app.command("broker-acl")(broker_acl)
    app.command("doctor")(doctor)
    app.command("health")(health)
    app.command("readings")(readings)
    app.command("decode")(decode)
    app.add_typer(survey_app, name="survey")
    app.add_typer(reports_app, name="reports")
    app.add_typer(history_app, name="history")
    app.add_typer(talq_app, name="talq")
    app.command("replay-counts")(replay_counts)
    app.command("reflag")(reflag)


def ingest(
    context: typer.Context,
    city: CityFolder,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt:// or mqtts://, instead of city.toml's.")] = "",
    shard: Annotated[str, typer.Option(metavar="i/n", help="Take in part i of n, counted from 0; see docs.")] = "0/1",
    metrics: Annotated[
        str, typer.Option(metavar="[HOST:]PORT", help="Serve /metrics and /healthz there; on 127.0.0.1 if no host.")
    ] = "",
    replay_dead: Annotated[
        bool, typer.Option("--replay-dead", help="Read refused messages again, store what is a reading now, and stop.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --replay-dead: only say what would happen.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="With --replay-dead: what the reason contains.")] = "",
    device: Annotated[str, typer.Option(help="With --replay-dead: only this device.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="With --replay-dead: received since, RFC 3339.")] = "",
    as_json: AsJson = False,
) -> None:
    """Receive readings from the broker and keep each one, until stopped.

    A large city is taken in by several processes, one for each shard; shard 0 also writes the archive.

    Example: noctule ingest helsinki --broker mqtt://127.0.0.1:1883 --metrics 9464
    """
    import json

    from sensors.city import City

    opened = City.open(city)  # before what takes seconds to load: a refusal should come at once
    opened.require_places()
    if not replay_dead:
        from ingest.dead_letters import printable
        from ingest.service import run

        if dry_run or reason or device or since:
            raise typer.BadParameter("goes with --replay-dead", param_hint="--dry-run, --reason, --device or --since")
        password = _broker_password(context, city)
        run(
            opened,
            shard=shard,
            url=broker,
            password=password,
            metrics=metrics,
            say=lambda sentence: typer.echo(printable(sentence), err=True),
        )
        return
    from ingest.dead_letters import replay

    done = replay(opened, _wanted(reason, device, since), dry=dry_run)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else "\n".join(done.lines()))


def _broker_password(context: typer.Context, city: Path) -> str:
    """The password of broker.user, from the one who may read secrets (noctule.py); none where nobody may."""
    return str(context.obj(city, "broker_password")) if context.obj else ""


def broker(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens, on 127.0.0.1 only.")] = 1883,
) -> None:
    """A small MQTT 5 broker on this machine, to try things out, until stopped; a city runs a real one.

    Example: noctule broker --port 1883
    """
    import signal

    from ingest.broker import serve_embedded

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it never comes back to Python, which would wait for that
    serve_embedded(port)


def doctor(
    context: typer.Context,
    city: Annotated[Path | None, typer.Argument(metavar="CITY", help="The city folder.")] = None,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt:// or mqtts://, instead of city.toml's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Would readings be lost? Publishes to itself through the broker, and looks at this machine; half a minute.

    Exit code 1 if something loses data. Each finding comes with the line of configuration that mends it.

    Example: noctule doctor helsinki --broker mqtts://broker.example:8883
    """
    import json

    if city is None and not broker:
        raise typer.BadParameter("name a city folder, or a broker with --broker", param_hint="CITY")
    from ingest.doctor import examine
    from ingest.finding import Severity
    from sensors.city import City

    opened = None if city is None else City.open(city)
    findings = examine(opened, broker, "" if city is None else _broker_password(context, city))
    if as_json:
        print(json.dumps([finding.to_dict() for finding in findings], ensure_ascii=False))
    else:
        print("\n".join(finding.text() for finding in findings))
    if any(finding.severity is Severity.LOSES for finding in findings):
        raise typer.Exit(1)


def broker_acl(
    city: CityFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it; to the screen if left out.")
    ] = None,
) -> None:
    """The broker's access list from the register of sites: each device may write its own topics and nothing else.

    For mosquitto's `acl_file`. An account's name is a device's name. Send mosquitto SIGHUP after writing it again.

    Example: noctule broker-acl helsinki --out /etc/mosquitto/noctule.acl
    """
    from ingest.acl import access_list
    from sensors.city import City

    text = access_list(City.open(city))
    if out is None:
        print(text, end="")
        return
    beside = out.with_name(out.name + ".new")
    beside.write_text(text, "utf-8")
    if out.exists():  # mosquitto reads it as another user, who was given the right to
        beside.chmod(out.stat().st_mode & 0o777)
    beside.replace(out)
    typer.echo(f"{text.count(chr(10) + 'user ')} accounts in {out}; send mosquitto SIGHUP", err=True)


def health(
    city: CityFolder,
    as_json: AsJson = False,
    dead: Annotated[bool, typer.Option("--dead", help="List the refused messages, with reasons.")] = False,
    lamps: Annotated[bool, typer.Option("--lamps", help="The lamp work-list of a night.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hold each file of the archive to its SHA-256.")] = False,
    site: Annotated[int | None, typer.Option(min=0, help="Only this site.")] = None,
    device: Annotated[str, typer.Option(help="Only this device.")] = "",
    drift: Annotated[bool, typer.Option("--drift", help="Also which sensors seem to drift, over four weeks.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="With --dead: what the reason contains.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="With --dead: received since, RFC 3339.")] = "",
    night: Annotated[
        str, typer.Option(metavar="NIGHT", help="Like 2026-11-20; the present one, with --lamps the last, if empty.")
    ] = "",
    format_: Annotated[
        str, typer.Option("--format", metavar="table|csv|geojson|gpkg", help="With --lamps; else by OUT's ending.")
    ] = "",
    out: Annotated[Path | None, typer.Option(metavar="OUT", help="With --lamps: the file to write.")] = None,
    tickets: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="With --lamps: asset_id,state,opened,ticket of the CMS.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --lamps: also ended ones and open tickets.")] = False,
) -> None:
    """Is ingest running; what is silent, late, refused, missing or adrift; which lamps need somebody.

    Example: noctule health helsinki --lamps --tickets cms.csv --out worklist.gpkg
    """
    import json

    from sensors.city import City

    _goes_with("--dead", dead, {"--reason": reason, "--since": since})
    _goes_with("--lamps", lamps, {"--format": format_, "--out": out, "--tickets": tickets, "--all": everything})
    if dead + lamps + verify + drift > 1:
        raise typer.BadParameter("ask for one of them at a time", param_hint="--dead, --lamps, --verify or --drift")
    opened = City.open(city)
    if verify:
        from ingest.archive import verify as verify_archive

        wrong = verify_archive(opened)
        print(json.dumps(wrong) if as_json else "\n".join(wrong or ["every file of the archive is as it was written"]))
        if wrong:
            raise typer.Exit(1)
        return
    if dead:
        from ingest.dead_letters import letters

        none = True
        for letter in letters(opened, _wanted(reason, device, since)):
            none = False
            print(json.dumps(letter.to_dict(), ensure_ascii=False) if as_json else letter.text())
        if none and not as_json:
            print("the log holds no such refused message" if reason or device or since else "no message was refused")
        return
    if lamps:
        _lamp_list(opened, night, format_, out, tickets, everything, as_json)
        return
    from ingest.overview import overview
    from sensors.night import Night

    day = _day(night, "--night")
    asked = None if day is None else Night(day, opened.zone)
    seen = overview(opened, night=asked, site=site, device=device, drifting=drift)
    print(json.dumps(seen.to_dict(), ensure_ascii=False) if as_json else "\n".join(seen.lines()))


def _goes_with(option: str, given: bool, others: dict[str, object]) -> None:
    """Refuse options that say nothing without another one."""
    if not given and (stray := [name for name, value in others.items() if value]):
        raise typer.BadParameter(f"goes with {option}", param_hint=" or ".join(stray))


def _wanted(reason: str, device: str, since: str) -> Wanted:
    """Which dead letters are meant."""
    from ingest.dead_letters import Wanted
    from sensors.night import parse_rfc3339

    try:
        return Wanted(reason, device, parse_rfc3339(since) if since else None)
    except ValueError:
        raise typer.BadParameter(f"'{since}' must be a time like 2026-11-20T18:00:00Z", param_hint="--since") from None


def _lamp_list(
    city: City, night: str, format_: str, out: Path | None, tickets: Path | None, everything: bool, as_json: bool
) -> None:
    """Print or write the lamp work-list."""
    import json

    from ingest.work_list import FORMATS, as_csv, as_geojson, as_text, latest_night, read_tickets, work_list, write_list
    from sensors.clock import city_clock
    from sensors.night import Night

    ending = "" if out is None else out.suffix[1:].lower()
    kind = format_ or (ending if ending in FORMATS else "table")
    if kind not in FORMATS:
        raise typer.BadParameter(f"'{kind}' is none of {', '.join(FORMATS)}", param_hint="--format")
    if (out is None and kind == "gpkg") or (out is not None and kind == "table"):
        raise typer.BadParameter("a file is csv, geojson or gpkg, and a GeoPackage needs --out", param_hint="--format")
    now = city_clock(city.path).now()
    day = _day(night, "--night")
    chosen = latest_night(city, now) if day is None else Night(day, city.zone)
    until = now if chosen.start <= now < chosen.end else chosen.end
    known = read_tickets(tickets) if tickets is not None else {}
    table = work_list(city, chosen, until=until, tickets=known, everything=everything)
    if out is not None:
        write_list(table, kind, out)
        typer.echo(f"{len(table)} rows of the night of {chosen.name} in {out}", err=True)
    elif as_json:
        print(json.dumps(json.loads(table.drop(columns="geometry").to_json(orient="records")), ensure_ascii=False))
    elif kind == "csv":
        print(as_csv(table), end="")
    elif kind == "geojson":
        print(as_geojson(table))
    else:
        simulated = " (SIMULATED)" if bool((table["origin"] == "simulated").any()) else ""
        print(f"lamps of {city.name}, night of {chosen.name}{simulated}: {len(table)} to see to")
        print(as_text(table))


def readings(
    city: CityFolder,
    night: Annotated[
        str, typer.Option(metavar="NIGHT", help="The night, like 2026-11-20; the present one if empty.")
    ] = "",
    box: Annotated[str, typer.Option(metavar="W,S,E,N", help="Only sites in this box, in degrees (WGS 84).")] = "",
    from_: Annotated[str, typer.Option("--from", metavar="HH:MM", help="Local time; noon if empty.")] = "",
    to: Annotated[str, typer.Option(metavar="HH:MM", help="Local time; the next noon if empty.")] = "",
    quantity: Annotated[list[str] | None, typer.Option(help="Only this quantity; may be given again.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".csv or .parquet; CSV to the screen if empty.")
    ] = None,
) -> None:
    """The readings of a night as they are kept, with their flags and their origin: for research on this machine.

    Example: noctule readings helsinki --night 2026-11-20 --box 24.93,60.16,24.96,60.18 --from 22:00 --to 06:00
    """
    import re
    import sys

    from ingest.query import parse_bounds, readings_in_box, readings_table, write_table
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import Night, night_of
    from sensors.quantities import QUANTITIES

    opened = City.open(city)
    if unknown := [name for name in quantity or () if name not in QUANTITIES]:
        raise typer.BadParameter(f"'{unknown[0]}' is none of {', '.join(QUANTITIES)}", param_hint="--quantity")
    for name, clock in (("--from", from_), ("--to", to)):
        if clock and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", clock):
            raise typer.BadParameter(f"'{clock}' must be a local time like 22:00", param_hint=name)
    day = _day(night, "--night")
    chosen = night_of(city_clock(opened.path).now(), opened.zone) if day is None else Night(day, opened.zone)
    codes = [QUANTITIES[name].code for name in quantity] if quantity else None
    bounds = parse_bounds(box) if box else None
    table = readings_table(opened, readings_in_box(opened, chosen, bounds, from_=from_, to=to, quantities=codes))
    if out is None:
        table.to_csv(sys.stdout, index=False)
    else:
        write_table(table, out)
    simulated = int((table["origin"] == "simulated").sum())
    marked = f"; SIMULATED: {simulated} of them are not what was measured here" if simulated else ""
    typer.echo(f"{len(table)} readings of the night of {chosen.name}{marked}", err=True)


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The payload; - for standard input.", allow_dash=True)],
    topic: Annotated[str, typer.Option(help="The topic under which it came.")],
    received: Annotated[str, typer.Option(metavar="TIME", help="When it came, RFC 3339; now if left out.")] = "",
    root: Annotated[str, typer.Option(help="First level of our own topics.")] = "noctule",
    city: Annotated[Path | None, typer.Option(help="A city folder: its rules and its site register hold.")] = None,
    decoder: Annotated[str, typer.Option(metavar="NAME", help="How the bytes of a LoRaWAN frame are read.")] = "",
) -> None:
    """What becomes of a message: one JSON line a measurement or rejection; exit code 1 if all of it was refused.

    Example: noctule decode --topic noctule/helsinki/counter-3/people-flow message.json
    """
    import json
    import sys

    from ingest.decoding import outcomes, received_at
    from sensors.city import City
    from sensors.dialects.frames import decoder_problem

    if problem := decoder_problem(decoder):
        raise typer.BadParameter(problem, param_hint="--decoder")
    opened = City.open(city) if city else None
    try:
        received_ms = received_at(received)
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--received") from error
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    lines = outcomes(topic, payload, received_ms, root, city=opened, decoder=decoder)
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    if all(line.get("rejected") for line in lines):
        raise typer.Exit(1)


@history_app.command("import")
def history_import(
    city: CityFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file, plain or .gz.")],
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="How its columns become readings.")],
    from_: Annotated[str, typer.Option("--from", metavar="NIGHT", help="The first night; all if empty.")] = "",
    to: Annotated[str, typer.Option(metavar="NIGHT", help="Stop where this night begins; all if empty.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add records to the archive; importing the same file twice adds nothing.

    Example: noctule history import melbourne hourly_2012_2014.csv.gz --recipe melbourne-counts --to 2014-09-16
    """
    import json

    from ingest.history import import_history
    from sensors.city import City

    def say(line: str) -> None:
        if not as_json:
            typer.echo(f"  {line}", err=True)

    first, until = _day(from_, "--from"), _day(to, "--to")
    done = import_history(City.open(city), file, recipe, first=first, until=until, say=say)
    if as_json:
        print(json.dumps(done.to_dict(), ensure_ascii=False))
        return
    for line in reversed(done.lines()):
        print(line)


@talq_app.command("import")
def talq_import(
    city: CityFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TALQ LogReport, .json or .json.gz.")],
    devices: Annotated[Path, typer.Option(metavar="FILE.csv", help="Columns address (TALQ) and device (ours).")],
    energy_unit: Annotated[str, typer.Option(metavar="Wh|kWh", help="Of activeEnergy; left out if empty.")] = "",
    a_weighted: Annotated[bool, typer.Option("--a-weighted", help="noise is an A-weighted level.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a log report of street lights to the archive, without a broker; the same report twice adds nothing.

    Example: noctule talq import helsinki report.json --devices lamps.csv --energy-unit kWh
    """
    import json

    from ingest.talq import ENERGY_UNITS, import_talq, read_devices
    from sensors.city import City

    if energy_unit and energy_unit not in ENERGY_UNITS:
        raise typer.BadParameter(f"must be {' or '.join(ENERGY_UNITS)}", param_hint="--energy-unit")
    opened, names = City.open(city), read_devices(devices)
    done = import_talq(opened, file, names, energy_unit=energy_unit, a_weighted=a_weighted)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else "\n".join(done.lines()))


def replay_counts(
    context: typer.Context,
    city: CityFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file, plain or .gz.")],
    from_: Annotated[str, typer.Option("--from", metavar="NIGHT", help="The first night, like 2014-09-16.")],
    to: Annotated[str, typer.Option(metavar="NIGHT", help="Stop where this night begins.")],
    speed: Annotated[float, typer.Option(min=0.1, max=3600, help="City seconds a second.")] = 60.0,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE.toml", help="How its columns become readings.")
    ] = "melbourne-counts",
    seed: Annotated[int, typer.Option(min=0, help="Of the split of an hour into quarters.")] = 20,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt:// or mqtts://, instead of city.toml's.")] = "",
    no_clock: Annotated[bool, typer.Option("--no-clock", help="Follow the city's clock, do not drive it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish recorded counts as live MQTT, as they happened.

    Example: noctule replay-counts melbourne hourly_2012_2014.csv.gz --from 2014-09-16 --to 2014-09-28 --speed 60
    """
    import json

    from ingest.counts_replay import replay_counts as replay
    from sensors.city import City

    first, until = _day(from_, "--from"), _day(to, "--to")
    if first is None or until is None or until <= first:
        raise typer.BadParameter("--to must be a later night than --from")
    done = replay(
        City.open(city),
        file,
        recipe,
        first=first,
        until=until,
        speed=speed,
        seed=seed,
        broker=broker,
        password=_broker_password(context, city),
        own_clock=not no_clock,
        say=lambda line: typer.echo(f"  {line}", err=True),
    )
    if as_json:
        print(json.dumps(done.to_dict(), ensure_ascii=False))
    else:
        how = "stopped" if done.stopped else "done"
        print(f"{how}: {done.published:,} messages published, {done.acknowledged:,} acknowledged")


def reflag(
    city: CityFolder,
    night: Annotated[str, typer.Option(metavar="NIGHT", help="Like 2026-11-20; all that are due if empty.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at a night once it is whole: spikes, stuck runs, lamps at fault, what is unlike other weeks and neighbours.

    What is found is kept as dated rows: readings stay as they are, and pages that are closed replay unchanged. The
    same night twice changes nothing. A running ingest does this by itself for nights that are over.

    Example: noctule reflag helsinki --night 2026-11-20 --dry-run
    """
    import json

    from ingest.reflag import due
    from ingest.reflag import reflag as look_back
    from sensors.city import City
    from sensors.clock import city_clock

    day = _day(night, "--night")
    opened = City.open(city)
    names = [day.isoformat()] if day else due(opened, city_clock(opened.path).now())
    found = [look_back(opened, name, dry_run=dry_run) for name in names]
    if as_json:
        print(json.dumps([one.to_dict() for one in found], ensure_ascii=False))
        return
    for one in found:
        print(one.sentence())
    if not found:
        print("no night is due; name one with --night to look at it again")


def _day(text: str, option: str) -> date | None:
    import datetime

    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"'{text}' must be a day like 2014-09-16", param_hint=option) from None


def _write(path: Path, text: str) -> None:
    """Write a file that was asked for, or say why it cannot be."""
    from sensors.errors import ExportError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error


AnswersFile = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, XLSX, GeoJSON or GeoPackage.")]
InstrumentName = Annotated[
    str, typer.Option(help="What was asked, where the file does not say; see docs/perception.md.")
]
MappingFile = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE.toml", help="How the file's columns and codes become ours.")
]


@survey_app.command("check")
def survey_check(
    file: AnswersFile,
    city: Annotated[Path | None, typer.Option(help="A city folder: places and times are checked as well.")] = None,
    instrument: InstrumentName = "core-4",
    mapping: MappingFile = None,
    draft: Annotated[
        Path | None, typer.Option("--draft", metavar="OUT.toml", help="Write the mapping that was guessed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What would become of a file of answers, column by column and row by row; nothing is kept.

    A table of published shares (group, share, year, n) is recognised. So are exports of KoboToolbox and LimeSurvey:
    without a mapping each column is guessed, and --draft writes the mapping to correct. Exit code 1 if a row would be
    left out or something is to be said first.

    Example: noctule survey check answers.csv --city helsinki --draft answers.toml
    """
    import json

    from ingest.area_shares import ShareReport, check_shares, holds_shares
    from ingest.survey_guess import has_our_columns
    from ingest.surveys import SurveyReport, check_answers
    from sensors.city import City

    opened = City.open(city) if city else None
    report: SurveyReport | ShareReport
    if holds_shares(file, mapping):
        report = check_shares(file, mapping=mapping, city=opened)
    elif draft is not None or (mapping is None and not has_our_columns(file)):
        _check_guess(file, instrument, opened, draft, as_json)
        return
    else:
        report = check_answers(file, instrument=instrument, mapping=mapping, city=opened)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.text())
    if report.wrong_rows:
        raise typer.Exit(1)


def _check_guess(file: Path, instrument: str, city: City | None, draft: Path | None, as_json: bool) -> None:
    """Say what each column probably is, write the draft if asked, and try the file with it."""
    import json

    from ingest.survey_guess import guess_columns
    from ingest.surveys import SurveyReport, read_answers
    from sensors.errors import AnswerError

    guess = guess_columns(file)
    if draft is not None:
        if draft.exists():
            raise typer.BadParameter(f"'{draft}' is there already", param_hint="--draft")
        _write(draft, guess.toml())
        typer.echo(f"a draft of the mapping is in {draft}; read every line of it before the import", err=True)
    report: SurveyReport | None = None
    try:
        simulated = city is None or city.simulated
        report = read_answers(file, instrument, guess.mapping, city, simulated=simulated)[0]
        tried = report.text()
    except AnswerError as error:
        tried = str(error)
    if as_json:
        found = report.to_dict() if report else {"file": file.name, "refused": tried}
        print(json.dumps(found | guess.to_dict(), ensure_ascii=False))
    else:
        print(f"{guess.text()}\nRead with this draft:\n{tried}")
    if report is None or report.wrong_rows or guess.questions:
        raise typer.Exit(1)


@survey_app.command("import")
def survey_import(
    city: CityFolder,
    file: AnswersFile,
    campaign: Annotated[str, typer.Option(help="Id of the campaign; the file's name if left out.")] = "",
    instrument: InstrumentName = "core-4",
    simulated: Annotated[bool, typer.Option("--simulated", help="The answers are of simulated residents.")] = False,
    mapping: MappingFile = None,
    design_effect: Annotated[
        float, typer.Option(help="Of published shares: variance against a simple sample of n, 1 to 10.")
    ] = 1.0,
    receipts: Annotated[
        Path | None, typer.Option("--receipts", metavar="OUT.csv", help="Write each answer's receipt, to hand out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take answers into the city: coarsened, without identity, as a campaign that can be removed.

    A table of published shares (group, share, year, n) is recognised and kept apart. Rows that are wrong are left out
    and told; the same file twice changes nothing.

    Example: noctule survey import helsinki answers.csv --campaign autumn-2026
    """
    import json

    from ingest.area_shares import ShareReport, holds_shares, import_shares
    from ingest.surveys import SurveyReport, import_answers
    from sensors.city import City

    opened = City.open(city)
    report: SurveyReport | ShareReport
    if holds_shares(file, mapping):
        report = import_shares(
            opened, file, campaign=campaign, simulated=simulated, mapping=mapping, design_effect=design_effect
        )
    else:
        report = import_answers(
            opened,
            file,
            campaign=campaign,
            instrument=instrument,
            simulated=simulated,
            mapping=mapping,
            receipts=receipts,
        )
    print(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.text())
    if not as_json:
        print(
            f"campaign '{report.campaign}' of {opened.name} holds them ({report.origin}); 'noctule fit {city}' is next"
        )


@survey_app.command("remove")
def survey_remove(
    city: CityFolder,
    campaign: Annotated[str, typer.Option(help="Id of the campaign; not needed with a receipt.")] = "",
    receipt: Annotated[str, typer.Option(metavar="CODE", help="Only the one answer with this receipt.")] = "",
) -> None:
    """Erase a campaign's answers, or one answer; the next fit no longer knows them.

    Example: noctule survey remove helsinki --receipt 028T-5CY4-TQKF-FTC7
    """
    from ingest.area_shares import remove_shares, share_campaigns
    from ingest.inbox import collect
    from ingest.surveys import remove_answers
    from sensors.city import City

    opened = City.open(city)
    if campaign in share_campaigns(opened) and not receipt:
        gone = remove_shares(opened, campaign=campaign)
        print(f"{gone} published shares of campaign '{campaign}' are erased; 'noctule fit {city}' forgets them too")
        return
    if not campaign and not receipt:
        raise typer.BadParameter("name a --campaign or a --receipt to erase")
    collect(opened)  # an answer of the form may still wait in the inbox
    gone = remove_answers(opened, campaign=campaign, receipt=receipt)
    what = f"answers of campaign '{campaign}' are" if campaign else "answer is"
    print(f"{gone} {what} erased; run 'noctule fit {city}' so that the map forgets {'them' if campaign else 'it'} too")


@survey_app.command("collect")
def survey_collect(city: CityFolder, as_json: AsJson = False) -> None:
    """Take in what the answer form and the answers page left; a running ingest does this every ten seconds.

    Example: noctule survey collect helsinki
    """
    import json

    from ingest.inbox import collect
    from sensors.city import City

    done = collect(City.open(city))
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done.text())


@survey_app.command("queue")
def survey_queue(city: CityFolder, as_json: AsJson = False) -> None:
    """Campaigns with their counts, and the answers in quarantine with the reason why; they stay out of every fit.

    Example: noctule survey queue helsinki
    """
    import json

    from ingest.answers_desk import answers_desk
    from sensors.city import City

    desk = answers_desk(City.open(city))
    print(json.dumps(desk.to_dict(), ensure_ascii=False) if as_json else desk.text())


@survey_app.command("decide")
def survey_decide(
    city: CityFolder,
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case, as 'survey queue' names it.")],
    decision: Annotated[Decision, typer.Argument(help="Let its answers in, leave them out, or put off deciding.")],
) -> None:
    """Decide on answers in quarantine; any decision can be taken back, and each is written down.

    Example: noctule survey decide helsinki 3f9a0c21d7 out
    """
    from ingest.campaigns import LOCK_WAIT_S
    from ingest.lock import shelf_lock
    from ingest.quarantine import decide_case
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import rfc3339

    opened = City.open(city)
    with shelf_lock(opened.shelf("answers"), "noctule survey decide", wait_s=LOCK_WAIT_S):
        now = rfc3339(city_clock(opened.path).now())
        campaign, answers = decide_case(opened, case, decision.value, "command line", now)
    print(f"{answers} answers of campaign '{campaign}' are {_DECIDED[decision]}; 'noctule fit {city}' is next")


@survey_app.command("switch")
def survey_switch(
    city: CityFolder,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id.")],
    on: Annotated[bool, typer.Option("--on/--off", help="Whether fits see its answers.")],
) -> None:
    """Switch a campaign off, so that the next fit is made without its answers, or on again.

    Example: noctule survey switch helsinki autumn-2026 --off
    """
    from ingest.campaigns import LOCK_WAIT_S, switch_campaign
    from ingest.lock import shelf_lock
    from ingest.quarantine import note_switch
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import rfc3339

    opened = City.open(city)
    with shelf_lock(opened.shelf("answers"), "noctule survey switch", wait_s=LOCK_WAIT_S):
        if switch_campaign(opened, campaign, on=on):
            now = rfc3339(city_clock(opened.path).now())
            note_switch(opened, campaign, on=on, role="command line", time=now)
    print(f"campaign '{campaign}' is switched {'on' if on else 'off'}; 'noctule fit {city}' is next")


@survey_app.command("audits")
def survey_audits(
    city: CityFolder,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="CSV, XLSX or GeoJSON to take in.")] = None,
    campaign: Annotated[str, typer.Option(help="Id of the campaign; the file's name if left out.")] = "",
    mapping: MappingFile = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="The audits are simulated.")] = False,
    out: Annotated[Path | None, typer.Option("--csv", metavar="OUT.csv", help="Write all ratings as a table.")] = None,
    remove: Annotated[str, typer.Option(metavar="CAMPAIGN", help="Erase the ratings of a campaign.")] = "",
    as_json: AsJson = False,
) -> None:
    """Safety audits: eight parameters of a place by street section, and its feeling as an answer.

    The model does not use the parameters; they are kept to be laid beside the map. Without FILE they are handed out.

    Example: noctule survey audits helsinki audit.csv --campaign audit-2026
    """
    import json

    from ingest.audits import as_csv, import_audits, remove_audits
    from sensors.city import City

    opened = City.open(city)
    if remove:
        print(f"{remove_audits(opened, campaign=remove)} ratings of '{remove}' are erased")
    elif file is not None:
        taken = import_audits(opened, file, campaign=campaign, mapping=mapping, simulated=simulated)
        print(json.dumps(taken.to_dict(), ensure_ascii=False) if as_json else taken.text())
    elif out is not None:
        _write(out, as_csv(opened))
        typer.echo(f"the ratings of audits are in {out}", err=True)
    else:
        print(as_csv(opened), end="")


ReportsFile = Annotated[Path, typer.Argument(metavar="FILE", help="Open311 requests as JSON or XML, FixMyStreet CSV.")]


@reports_app.command("check")
def reports_check(
    file: ReportsFile,
    city: Annotated[Path | None, typer.Option(help="A city folder: places and times are checked as well.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", metavar="FILE.toml", help="What each category is; guessed without one.")
    ] = None,
    draft: Annotated[
        Path | None, typer.Option("--draft", metavar="OUT.toml", help="Write the guess, to be read and corrected.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What would become of an app's reports, by category; nothing is kept and no text is shown.

    Exit code 1 if a report would be left out for what is wrong with it.

    Example: noctule reports check requests.json --city helsinki --draft app.toml
    """
    import json

    from ingest.app_reports import check_reports, draft_text
    from ingest.report_files import read_reports
    from sensors.city import City

    opened = City.open(city) if city else None
    if draft is not None:
        if draft.exists():
            raise typer.BadParameter(f"'{draft}' is there already", param_hint="--draft")
        _write(draft, draft_text(read_reports(file)[1], opened.settings.zone if opened else ""))
        mapping = mapping or draft
        typer.echo(f"a draft of the mapping is in {draft}; read every line of it before the import", err=True)
    taken = check_reports(file, mapping=mapping, city=opened)
    print(json.dumps(taken.to_dict(), ensure_ascii=False) if as_json else taken.text())
    if taken.wrong_rows:
        raise typer.Exit(1)


@reports_app.command("import")
def reports_import(
    city: CityFolder,
    file: ReportsFile,
    mapping: Annotated[Path, typer.Option("--mapping", metavar="FILE.toml", help="What each category is.")],
    campaign: Annotated[str, typer.Option(help="Id of the campaign; the file's name if left out.")] = "",
    simulated: Annotated[bool, typer.Option("--simulated", help="The reports are simulated.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take an app's reports into the city: feelings as spontaneous answers, lamp reports beside the lamps.

    Reports about persons are refused, texts are not kept. The same file again only brings what was answered since.

    Example: noctule reports import helsinki requests.json --mapping app.toml --campaign app-2026
    """
    import json

    from ingest.app_reports import import_reports
    from sensors.city import City

    opened = City.open(city)
    taken = import_reports(opened, file, mapping=mapping, campaign=campaign, simulated=simulated)
    print(json.dumps(taken.to_dict(), ensure_ascii=False) if as_json else taken.text())
    if not as_json:
        print(f"campaign '{taken.campaign}' of {opened.name} holds them; 'noctule health {city} --lamps' shows lamps")


@reports_app.command("answering")
def reports_answering(city: CityFolder, as_json: AsJson = False) -> None:
    """Who answers what is told of lamps: reports, how many were answered, and the median days to that.

    Example: noctule reports answering helsinki
    """
    import json

    import numpy as np

    from ingest.lamp_reports import answering, lamp_reports
    from sensors.city import City

    found = answering(lamp_reports(City.open(city)))
    if as_json:
        rows = [
            {
                "agency": name,
                "reports": one.reports,
                "answered": one.answered,
                "median_days": None if np.isnan(one.median_days) else round(one.median_days, 2),
            }
            for name, one in found.items()
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    for name, one in found.items():
        print(f"{name or 'nobody that the app names'}: {one.words}")
    if not found:
        print("no report about a lamp was taken in")


@reports_app.command("remove")
def reports_remove(
    city: CityFolder,
    campaign: Annotated[str, typer.Option(help="Id of the campaign.")],
) -> None:
    """Erase a campaign of reports: its answers and its lamp reports; the next fit no longer knows them.

    Example: noctule reports remove helsinki --campaign app-2026
    """
    from ingest.app_reports import remove_reports
    from sensors.city import City

    feelings, lamps = remove_reports(City.open(city), campaign=campaign)
    print(f"{feelings} reports of feelings and {lamps} of lamps of campaign '{campaign}' are erased")
