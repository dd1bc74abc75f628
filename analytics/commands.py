"""The commands of the room `analytics`; nothing but typer is imported before a command runs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sensors.city import City
    from sensors.night import Night

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]

counter_app = typer.Typer(help="Counters of people: what to expect of them, and how far they are to be believed.",
                          no_args_is_help=True)  # fmt: skip


walk_app = typer.Typer(help="Night walks: a group answers at the same stops by day and after dark.",
                       no_args_is_help=True)  # fmt: skip


class Cut(StrEnum):
    """Which readings a replay uses."""

    CLOSE = "close"
    ALL = "all"


class LeaveOut(StrEnum):
    """Which answers an audit leaves out together."""

    CELLS = "cells"
    PEOPLE = "people"


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("map")(map_)
    app.command("replay")(replay)
    app.command("export")(export)
    app.command("provenance")(provenance)
    app.command("plan")(plan)
    app.command("street-light")(street_light)
    app.command("lighting")(lighting)
    app.command("noise")(noise)
    app.command("report")(report)
    app.command("fit")(fit)
    app.command("small-areas")(small_areas)
    app.command("statistics")(statistics)
    app.command("validate")(validate)
    app.command("audit")(audit)
    app.command("papers")(papers)
    app.command("surprise")(surprise)
    app.command("ask-next")(ask_next)
    app.command("warmup")(warmup)
    app.add_typer(counter_app, name="counter")
    for group in app.registered_groups:  # the answers' group is of the room before this one
        if group.name == "survey" and group.typer_instance is not None:
            group.typer_instance.command("shares")(survey_shares)
            group.typer_instance.command("selection")(survey_selection)
    app.add_typer(walk_app, name="walk")


def warmup(as_json: AsJson = False) -> None:
    """Compile the kernels into the cache, so that the first map does not wait for a compiler.

    Example: noctule warmup
    """
    from analytics.warmup import compile_kernels

    seconds = compile_kernels()
    print(json.dumps({"core_seconds": round(seconds, 2)}) if as_json else f"Kernels are ready ({seconds:.1f} core-s).")


def fit(
    city: CityFolder,
    night: Annotated[
        str, typer.Option(help="The night it is for, 2026-11-20; the city's present night if empty.")
    ] = "",
    preset: Annotated[str, typer.Option(help="Priors: standard, or sceptical of what light does.")] = "standard",
    as_json: AsJson = False,
) -> None:
    """Fit how safe people feel to what they answered, with what was learnt from all nights before one.

    Example: noctule fit helsinki --night 2026-11-20
    """
    from analytics.model import fit as fit_model
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import Night, night_of

    opened = City.open(city)
    try:
        wanted = Night.named(night, opened.zone) if night else night_of(city_clock(city).now(), opened.zone)
    except ValueError:
        raise typer.BadParameter(f"night '{night}' must be a day like 2026-11-20", param_hint="--night") from None
    with _progress_bar("fields at the answers", hidden=as_json) as progress:
        model = fit_model(opened, wanted, preset=preset, progress=progress)
    print(json.dumps(model.summary(), ensure_ascii=False) if as_json else model.text(opened.name))


def small_areas(
    city: CityFolder,
    question: Annotated[str, typer.Option(help="Only this question, as the file names it; all if empty.")] = "",
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Foretell each area from the others instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """What published shares say of each area: shares with their 90 % interval, and of sexes and ages.

    Example: noctule small-areas melbourne --question neighbourhood_night
    """
    from analytics.small_area_report import left_out_report, small_area_report
    from sensors.city import City

    report = (left_out_report if leave_out else small_area_report)(City.open(city), question)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.text())


def statistics(
    city: CityFolder,
    instrument: Annotated[str, typer.Option(help="Whose answers.")] = "core-4",
    by: Annotated[str, typer.Option(help="Groups to tell apart: gender, age_band, role, with commas between.")] = "",
    window: Annotated[str, typer.Option(help="all, block (weeks that were told together), week or night.")] = "all",
    zoom: Annotated[str, typer.Option(help="Smallest cells: 50, 100, 200 or 400 (m), or city.")] = "50",
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows as CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """What was answered: counts and shares by place, time and group, as finely as they may leave and no finer.

    Example: noctule statistics helsinki --by gender --window week --zoom 200
    """
    import math

    from analytics.told_answers import statistics as tell
    from sensors.city import City
    from sensors.errors import ModelError

    try:
        zoom_m = math.inf if zoom == "city" else float(zoom)
    except ValueError as error:
        raise ModelError(f"--zoom is '{zoom}'; expected 50, 100, 200, 400 or city") from error
    columns = tuple(column.strip() for column in by.split(",") if column.strip())
    found = tell(City.open(city), instrument, by=columns, window=window, zoom_m=zoom_m)
    if csv is not None:
        found.rows.assign(origin=" ".join(found.origins)).to_csv(csv, index=False)
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    if "simulated" in found.origins:
        print("SIMULATED: not what people here said.")
    print(found.rows.to_string(index=False) if len(found.rows) else "No part of the answers may be told yet.")
    print(f"{found.told} answers to {found.instrument} are told, {found.waiting} wait for others of their cell.")
    if csv is not None:
        print(f"The rows are in {csv}.")


def validate(
    city: CityFolder,
    night: Annotated[str, typer.Option(help="Only answers before this night, 2026-11-20; all if empty.")] = "",
    preset: Annotated[str, typer.Option(help="Priors: standard, or sceptical of what light does.")] = "standard",
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one page.")] = None,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report for the printer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try the map on answers it has not seen: scores against simpler guesses, calibration, coverage.

    Example: noctule validate helsinki --html validation.html --pdf validation.pdf
    """
    from analytics.judgements import keep_judgement
    from analytics.knowledge import learn
    from analytics.phrases import phrases
    from analytics.surroundings import surroundings
    from analytics.validation import validate as try_out
    from analytics.validation_report import validation_html, validation_pdf, validation_text
    from sensors.city import City

    opened, say = City.open(city), phrases(language)
    before = _night_named(opened, night) if night else None
    with _progress_bar("fits without a part of the answers", hidden=as_json) as progress:
        around = surroundings(opened)
        result = try_out(opened, around, learn(opened, before), before=before, preset=preset, progress=progress)
    kept = keep_judgement(opened, "validation", result.to_dict())
    if html is not None:
        html.write_text(validation_html(result, say), "utf-8")
    if pdf is not None:
        pdf.write_bytes(validation_pdf(result, say))
    print(json.dumps(result.to_dict(), ensure_ascii=False) if as_json else validation_text(result, say))
    if not as_json:
        print("".join(f"The report is in {file}.\n" for file in (html, pdf) if file is not None) + _kept(kept))


def audit(
    city: CityFolder,
    night: Annotated[str, typer.Option(help="Only answers before this night, 2026-11-20; all if empty.")] = "",
    preset: Annotated[str, typer.Option(help="Priors: standard, or sceptical of what light does.")] = "standard",
    leave_out: Annotated[
        LeaveOut, typer.Option(help="As the map's cells lie from the answers, or whole people.")
    ] = LeaveOut.CELLS,
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one page.")] = None,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report for the printer.")] = None,
    fail_on_flag: Annotated[
        bool, typer.Option("--fail-on-flag", help="Exit with 1 where a figure is flagged, for a scheduled job.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Is the map as right for one group as for all? By gender, age and role, on answers it has not seen.

    Flags are findings and no error: without --fail-on-flag the exit code is 0, and --json counts them as `flagged`.

    Example: noctule audit helsinki --html audit.html --pdf audit.pdf
    """
    from analytics.audit import audit as look
    from analytics.audit_report import audit_html, audit_pdf, audit_text
    from analytics.judgements import keep_judgement
    from analytics.knowledge import learn
    from analytics.phrases import phrases
    from analytics.surroundings import surroundings
    from sensors.city import City
    from sensors.errors import ModelError

    opened, say = City.open(city), phrases(language)
    before = _night_named(opened, night) if night else None
    rule = opened.settings.release
    with _progress_bar("fits without a part of the answers", hidden=as_json) as progress:
        around, knowledge = surroundings(opened), learn(opened, before)
        result = look(
            opened, around, knowledge, before=before, preset=preset, leave_out=leave_out.value, progress=progress
        )
    kept = keep_judgement(opened, "audit", result.to_dict())
    if html is not None:
        html.write_text(audit_html(result, say, people=rule.minimum_people, share=rule.maximum_share), "utf-8")
    if pdf is not None:
        pdf.write_bytes(audit_pdf(result, say, people=rule.minimum_people, share=rule.maximum_share))
    if as_json:
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    else:
        print(audit_text(result, say, people=rule.minimum_people, share=rule.maximum_share))
        print("".join(f"The report is in {file}.\n" for file in (html, pdf) if file is not None) + _kept(kept))
    if fail_on_flag and result.flagged:
        raise ModelError(f"{result.flagged} figures of {opened.name} are flagged, {result.clear} of them clearly")


def papers(
    city: CityFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; `papers` in the city folder without it.")
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help="en or fr; may be repeated. Both without it.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Replace also what the city edited.")] = False,
    as_json: AsJson = False,
) -> None:
    """Model card, data sheet and impact assessment (DPIA) of a city, as Markdown to edit and as HTML.

    Text that the city wrote or changed stays, and it is told which.

    Example: noctule papers helsinki --language fr
    """
    from analytics.papers import write_papers
    from sensors.city import City

    opened = City.open(city)
    written = write_papers(opened, out or opened.path / "papers", language or None, anew=anew)
    if as_json:
        print(json.dumps([paper.to_dict() for paper in written], ensure_ascii=False))
    else:
        print("\n".join(paper.text() for paper in written))


def ask_next(
    city: CityFolder,
    number: Annotated[int, typer.Option(min=1, max=100, help="How many places.")] = 20,
    csv: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the list as CSV.")] = None,
    geojson: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the list as GeoJSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Where answers would tell the map most: places by how many pass at night and how unsure the map is there.

    For those who plan a survey; what people said has no part in the order. Example: noctule ask-next helsinki
    """
    from analytics.ask_next import list_of
    from sensors.city import City

    opened = City.open(city)
    opened.require_places()
    found = list_of(opened, number)
    for file, content in ((csv, found.csv), (geojson, found.geojson)):
        if file is not None:
            _write_text(file, content())
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    elif csv is None and geojson is None:
        typer.echo(found.text())
    else:
        typer.echo(f"{len(found.places)} places in {' and '.join(str(file) for file in (csv, geojson) if file)}")


def _kept(path: Path | None) -> str:
    if path is None:
        return "Not kept with the model: none is fitted yet, or the current one to other answers or priors."
    return f"Kept with the model, in {path}."


def _progress_bar(words: str, hidden: bool) -> Any:
    """A bar on stderr for a function that tells how many of how many are done."""
    from contextlib import contextmanager

    @contextmanager
    def showing() -> Iterator[Callable[[int, int], None]]:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        with Progress(console=console, disable=hidden or not console.is_terminal, transient=True) as bar:
            task = bar.add_task(words, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return showing()


def map_(city: CityFolder) -> None:
    """Keep the map of now fresh and close each step when it is due, until stopped.

    Example: noctule map helsinki
    """
    from sensors.city import City

    opened = City.open(city)  # before what takes seconds to load: a refusal should come at once
    opened.require_places()
    from analytics.mapping import run

    run(opened)


def replay(
    city: CityFolder,
    from_: Annotated[str, typer.Option("--from", metavar="NIGHT", help="First night, YYYY-MM-DD.")],
    to: Annotated[str, typer.Option("--to", metavar="NIGHT", help="Last night; the first without it.")] = "",
    scheduler: Annotated[str, typer.Option(metavar="ADDRESS", help="A Dask cluster, tcp://host:port.")] = "",
    cut: Annotated[
        Cut, typer.Option(help="Readings as live had them at each close, or all that came since.")
    ] = Cut.CLOSE,
    write: Annotated[bool, typer.Option("--write", help="Keep differing nights as a new version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute past nights again and compare them, bit by bit, with the pages that live closed.

    A night without any page is written. Example: noctule replay helsinki --from 2026-11-13 --to 2026-11-14
    """
    from analytics import replay as room
    from sensors.city import City
    from sensors.errors import StoreError

    opened = City.open(city)
    first = _night_named(opened, from_)
    last = _night_named(opened, to) if to else first
    results = room.replay(opened, first, last, scheduler=scheduler or None, cut=cut.value, write=write)
    for result in results:
        typer.echo(json.dumps(result.to_dict()) if as_json else result.sentence)
    if any(result.refused for result in results):
        raise StoreError("not every night could be replayed")
    if cut is Cut.CLOSE and not write and any(result.differing for result in results):
        raise StoreError(
            "not every step is bit-equal to its closed page; --write keeps the new run as the next version"
        )


def export(
    city: CityFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file (for zarr the folder) to write.")],
    night: Annotated[str, typer.Option(metavar="NIGHT", help="YYYY-MM-DD.")],
    format: Annotated[str, typer.Option(help="netcdf, cog, zarr, geoparquet, csv or geojson.")],
    layer: Annotated[str, typer.Option(help="safety, illuminance, noise, footfall or goes; all without it.")] = "",
    step: Annotated[str, typer.Option(metavar="TIME", help="One step, local like 23:15; all without it.")] = "",
    public: Annotated[bool, typer.Option("--public", help="The public level: a day old, cells of 200 m.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand out a night's released pages with licence and provenance.

    Example: noctule export helsinki --night 2026-11-20 --format cog --layer safety --step 23:15 safety.tif
    """
    from analytics import export as room
    from sensors.city import City

    opened = City.open(city)
    named = _night_named(opened, night)
    moment = room.step_named(opened, named, step) if step else None
    level = "public" if public else "atlas"
    done = room.export(opened, named, format, out, layer=layer or None, step=moment, level=level)
    size = sum(file.stat().st_size for file in ([done] if done.is_file() else done.rglob("*")) if file.is_file())
    if as_json:
        typer.echo(json.dumps({"out": str(done), "bytes": size, "format": format, "night": named.name}))
    else:
        typer.echo(f"{done}: {size / 1e6:.1f} MB")


def provenance(
    city: CityFolder,
    at: Annotated[str, typer.Option(metavar="LAT,LON", help="The place, WGS 84.")],
    night: Annotated[str, typer.Option(metavar="NIGHT", help="YYYY-MM-DD; the last with pages without it.")] = "",
    step: Annotated[str, typer.Option(metavar="TIME", help="Local like 23:15; the last closed step without it.")] = "",
    as_json: AsJson = False,
) -> None:
    """What stands behind a place: how much is measured, modelled, simulated; nearest sensor, surveys, support.

    Example: noctule provenance helsinki --at 60.1699,24.9384 --night 2026-11-20 --step 23:15
    """
    from analytics import provenance as room
    from analytics.atlas import nights
    from analytics.export import step_named
    from sensors.city import City
    from sensors.errors import StoreError

    try:
        latitude, longitude = (float(part) for part in at.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{at}' must be LAT,LON in degrees, like 60.17,24.94", param_hint="--at") from None
    opened = City.open(city)
    name = night or next(iter(sorted(nights(opened), reverse=True)), "")
    if not name:
        raise StoreError(f"{opened.name} has no pages yet; 'noctule map' or 'noctule replay' makes them")
    named = _night_named(opened, name)
    moment = step_named(opened, named, step) if step else None
    found = room.provenance(opened, named, moment, longitude, latitude)
    typer.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found.text())


def plan(
    city: CityFolder,
    scenarios: Annotated[list[Path], typer.Argument(metavar="SCENARIO...", help="Scenario files, TOML.")],
    night: Annotated[str, typer.Option(metavar="NIGHT", help="A night with readings; else a typical one.")] = "",
    as_json: AsJson = False,
) -> None:
    """What a change of the lighting would change: light, how safe people report feeling, passages, energy.

    Example: noctule plan helsinki weekend-exception.toml --night 2026-11-20
    """
    from analytics import plan as room
    from analytics.scenario import read_scenario
    from sensors.city import City

    opened = City.open(city)
    read = [read_scenario(file, opened) for file in scenarios]
    chosen = _night_named(opened, night) if night else None
    with _progress_bar("steps of the night", hidden=as_json) as progress:
        results = room.plan(opened, read, chosen, progress=progress)
    typer.echo(json.dumps([result.row() for result in results]) if as_json else room.table_text(results))


def street_light(
    luminaire: Annotated[
        str, typer.Option(metavar="FILE|isotropic:CD|lambert:LUMENS", help="Photometric file, or an ideal source.")
    ],
    width: Annotated[float, typer.Option(help="Of the area that is lit, from the kerb, m.")],
    height: Annotated[float | None, typer.Option(help="Of the luminaires above the road, m.")] = None,
    spacing: Annotated[float | None, typer.Option(help="Between luminaires of a row, m; the field is as long.")] = None,
    overhang: Annotated[float, typer.Option(help="Of the luminaire over the road, from the kerb, m.")] = 0.0,
    arrangement: Annotated[str, typer.Option(help="single, opposite or staggered.")] = "single",
    positions: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Luminaires as a table: x,y,height_m,dim.")
    ] = None,
    begin: Annotated[
        float | None, typer.Option("--from", help="Where the field begins with --positions, x in m.")
    ] = None,
    mf: Annotated[float, typer.Option(help="Maintenance factor, 0 to 1.")] = 1.0,
    dim: Annotated[float, typer.Option(help="Level of the luminaires, 0 to 1.")] = 1.0,
    curve: Annotated[str, typer.Option(help="What a level means: linear light output, or dali-log.")] = "linear",
    tilt: Annotated[float, typer.Option(help="How far the street side is lifted, degrees.")] = 0.0,
    rotation: Annotated[float, typer.Option(help="About the vertical, anticlockwise from above, degrees.")] = 0.0,
    orientation: Annotated[
        str, typer.Option(help="street-c0, -c90, -c180 or -c270: the C of a file's street side; by its form if empty.")
    ] = "",
    class_: Annotated[
        list[str] | None, typer.Option("--class", help="A class to compare with: P3, C4, SC5; may be repeated.")
    ] = None,
    watts: Annotated[float | None, typer.Option(help="Of one luminaire at full level; for D_P and D_E.")] = None,
    hours: Annotated[float, typer.Option(help="Burning hours a year at this level; for D_E.")] = 4000.0,
    as_json: AsJson = False,
) -> None:
    """Light of one street section on the grid of EN 13201-3, point by point, and the classes whose values it reaches.

    Example: noctule street-light --luminaire lambert:4000 --height 6 --spacing 25 --width 7 --mf 0.85 --class P3
    """
    from analytics.section_report import Section, report

    section = Section(
        luminaire=luminaire, width_m=width, height_m=height, spacing_m=spacing, overhang_m=overhang,
        arrangement=arrangement, positions=positions, begin_m=begin, maintenance_factor=mf, dimming=dim, curve=curve,
        tilt_deg=tilt, rotation_deg=rotation, orientation=orientation, classes=tuple(class_ or ()), watts=watts,
        hours=hours,
    )  # fmt: skip
    found = report(section)
    typer.echo(json.dumps(found.to_dict(), allow_nan=False) if as_json else found.text())


def lighting(
    city: CityFolder,
    night: Annotated[
        str, typer.Option(metavar="NIGHT", help="A night with readings, 2026-11-20; else a typical one.")
    ] = "typical",
    hour: Annotated[
        list[str] | None,
        typer.Option(help="A local time like 23:00; may be repeated. Every hour of the night without."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
    geojson: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as GeoJSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """The light of every street section by hour: the class it needs, what is computed and what was measured.

    Example: noctule lighting helsinki --hour 23:00 --csv lighting.csv
    """
    from analytics.lighting_table import lighting_table
    from sensors.city import City

    opened = City.open(city)
    opened.require_places()
    chosen = None if night in ("", "typical") else _night_named(opened, night)
    with _progress_bar("hours of the night", hidden=as_json) as progress:
        table = lighting_table(opened, night=chosen, hours=tuple(hour or ()), progress=progress)
    for file, content in ((csv, table.csv), (geojson, table.geojson)):
        if file is not None:
            _write_text(file, content())
    if as_json:
        typer.echo(table.json())
    elif csv is None and geojson is None:
        typer.echo(table.text())
    else:
        typer.echo(f"{len(table.rows):,} rows in {' and '.join(str(file) for file in (csv, geojson) if file)}")


def noise(
    city: CityFolder,
    night: Annotated[str, typer.Option(metavar="NIGHT", help="One night, 2026-11-20; the last with readings.")] = "",
    from_: Annotated[str, typer.Option("--from", metavar="NIGHT", help="First of several nights.")] = "",
    to: Annotated[str, typer.Option(metavar="NIGHT", help="Last of several nights.")] = "",
    site: Annotated[int | None, typer.Option(help="One meter, by the number of its sound_laeq.")] = None,
    limit: Annotated[float, typer.Option(metavar="DB", help="A limit, for the minutes above it.")] = 55.0,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a row a meter and night as CSV.")] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="How well each meter of a night is foretold by the others.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What noise meters heard: LAeq,23-07, hours, percentiles, events, closing time. Not legal metrology.

    Lden and Lnight are of a year and need --from and --to. Example: noctule noise helsinki --night 2026-11-20
    """
    from analytics.noise_report import noise_report
    from ingest.archive import nights
    from sensors.city import City
    from sensors.errors import StoreError
    from sensors.night import Night

    if bool(from_) != bool(to) or (from_ and night):
        raise typer.BadParameter("give --from and --to together, or --night", param_hint="--from")
    opened = City.open(city)
    there = nights(opened)
    if not there:
        raise StoreError(f"{opened.name} has no readings yet; 'noctule ingest' or 'noctule history import' brings some")
    first = _night_named(opened, from_ or night) if from_ or night else Night(there[-1], opened.zone)
    last = _night_named(opened, to) if to else first
    wanted = [Night(day, opened.zone) for day in there if first.date <= day <= last.date]
    if not wanted:
        raise StoreError(f"no readings from {first.name} to {last.name}; there are nights {there[0]} to {there[-1]}")
    if leave_out:
        _leave_out(opened, wanted[0], as_json)
        return
    with _progress_bar("nights", hidden=as_json) as progress:
        found = noise_report(opened, wanted, site=site, limit_db=limit, progress=progress)
    if csv is not None:
        _write_text(csv, found.csv())
    typer.echo(found.json() if as_json else f"{csv} written" if csv is not None else found.text())


def report(
    city: CityFolder,
    night: Annotated[
        str, typer.Option(metavar="NIGHT", help="The night, 2026-11-20; the last whose mapped hours began if empty.")
    ] = "",
    from_: Annotated[str, typer.Option("--from", metavar="NIGHT", help="First of several nights.")] = "",
    to: Annotated[str, typer.Option(metavar="NIGHT", help="Last of several nights.")] = "",
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and the PDF are written.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """The morning after on two pages, HTML and PDF: the map, what differed from the usual, both sides of the night.

    And lamp faults, gaps, answers and who is missing, open actions. With --from and --to for the monthly meeting.

    Example: noctule report helsinki --night 2026-11-20 --language fr --out reports
    """
    from analytics.night_facts import night_facts, nights_between
    from analytics.night_numbers import numbers
    from analytics.night_report import write_report
    from analytics.phrases import phrases
    from ingest.work_list import latest_night
    from sensors.city import City
    from sensors.clock import city_clock

    if bool(from_) != bool(to) or (from_ and night):
        raise typer.BadParameter("give --from and --to together, or --night", param_hint="--from")
    opened, say = City.open(city), phrases(language)
    opened.require_places()
    if from_:
        first, last = _night_named(opened, from_), _night_named(opened, to)
        if first.date > last.date:
            raise typer.BadParameter(f"{first.name} is after {last.name}", param_hint="--from")
        wanted = nights_between(opened, first, last)
    else:
        wanted = [_night_named(opened, night) if night else latest_night(opened, city_clock(city).now())]
    with _progress_bar("nights", hidden=as_json) as progress:
        facts = night_facts(opened, wanted, progress)
    page, printed = write_report(facts, say, out)
    if as_json:
        typer.echo(json.dumps({"html": str(page), "pdf": str(printed)} | numbers(facts), ensure_ascii=False))
    else:
        typer.echo(f"{page} and {printed.name}")


def _leave_out(city: City, night: Night, as_json: bool) -> None:
    from analytics.noise_validation import leave_out
    from analytics.surroundings import surroundings
    from ingest.archive import night_records

    with _progress_bar("hours of the night", hidden=as_json) as progress:
        left = leave_out(surroundings(city), night_records(city, night), night, progress)
    typer.echo(left.json() if as_json else left.text())


def _write_text(file: Path, text: str) -> None:
    """Write a file beside and then rename it."""
    from sensors.errors import ExportError

    try:
        beside = file.with_name(f".{file.name}.new")
        beside.write_text(text, "utf-8")
        beside.replace(file)
    except OSError as error:
        raise ExportError(f"{file} cannot be written ({error.strerror})") from error


def _night_named(city: City, name: str) -> Night:
    from sensors.night import Night

    try:
        return Night.named(name, city.zone)
    except ValueError:
        raise typer.BadParameter(f"'{name}' is not a night; write its evening like 2026-11-20") from None


def surprise(
    city: CityFolder,
    night: Annotated[
        list[str] | None, typer.Option(help="A night, 2026-11-20, may be given again; the last seven if empty.")
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Set aside what is less probable than 1 in 10,000 until somebody decides.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How surprising the answers of each campaign, night and place of 200 m are to the current model.

    A small probability says that something differs from what was answered before: the place, who answers, or the
    model. With --hold such answers go into quarantine ('noctule survey queue').

    Example: noctule surprise helsinki --night 2026-11-20 --hold
    """
    from analytics.surprise import hold_surprising, surprises, text, to_dict
    from sensors.city import City
    from sensors.night import Night

    opened = City.open(city)
    for name in night or ():
        try:
            Night.named(name, opened.zone)
        except ValueError:
            raise typer.BadParameter(f"'{name[:40]}' must be a day like 2026-11-20", param_hint="--night") from None
    fewest = opened.settings.release.minimum_people
    found = surprises(opened, night or None)
    print(json.dumps(to_dict(found, fewest), ensure_ascii=False) if as_json else text(found, fewest))
    if hold:
        cases = hold_surprising(opened, found)
        typer.echo(f"{cases} cases are set aside once ingest or 'noctule survey collect {city}' looks", err=True)


@counter_app.command("forecast")
def counter_forecast(
    city: CityFolder,
    site: Annotated[list[int] | None, typer.Argument(metavar="SITE...", help="Counters; all without.")] = None,
    night: Annotated[str, typer.Option(metavar="NIGHT", help="The night, 2026-11-20; the present one if empty.")] = "",
    as_json: AsJson = False,
) -> None:
    """What counters are likely to count in the hours of a night, with 90 % intervals, by what the nights before taught.

    Example: noctule counter forecast helsinki 17 --night 2026-11-27
    """
    from analytics.forecast import forecast_night
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import night_of

    opened = City.open(city)
    wanted = _night_named(opened, night) if night else night_of(city_clock(city).now(), opened.zone)
    found = forecast_night(opened, wanted, site or [])
    typer.echo(json.dumps(found.to_dict()) if as_json else found.text(opened.zone))


@counter_app.command("calibrate")
def counter_calibrate(
    city: CityFolder,
    site: Annotated[int, typer.Argument(metavar="SITE", help="The counter's number in the register.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns start, end, people and maybe counted.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a counter's gain and dead time to people counted by hand, and write it to the register if it is good enough.

    Two counts or more, one in a quiet and one in a busy time. Example: noctule counter calibrate helsinki 17 manual.csv
    """
    from analytics.manual_counts import calibrate_counter, calibration_words, read_manual_counts
    from sensors.city import City
    from sensors.errors import CityError
    from sensors.register import calibrate_site

    opened = City.open(city)
    manual = read_manual_counts(file)
    found = calibrate_counter(opened, site, manual)
    text = found.text(str(manual.end.max().astype("datetime64[D]")))
    if found.accepted and not dry_run:
        calibrate_site(opened, site, text)
    typer.echo(json.dumps(found.to_dict()) if as_json else calibration_words(found, site, kept=not dry_run))
    if not found.accepted:
        raise CityError(f"site {site} keeps what it has: {found.problem}; count again, in more regimes or for longer")


@walk_app.command("plan")
def walk_plan(
    city: CityFolder,
    walk_id: Annotated[str, typer.Option("--id", help="Its id: lower-case letters, digits, hyphens.")],
    title: Annotated[str, typer.Option(help="Its name for people.")] = "",
    date: Annotated[str, typer.Option(metavar="DAY", help="The day of the walk, 2026-11-20.")] = "",
    near: Annotated[
        str, typer.Option(metavar="LAT,LON", help="Where it begins; where answers tell most without.")
    ] = "",
    to: Annotated[str, typer.Option(metavar="LAT,LON", help="Where it ends; back at its beginning without.")] = "",
    stops: Annotated[int, typer.Option(min=1, max=24, help="How many stops at most.")] = 8,
    length_m: Annotated[float, typer.Option(min=100, max=20000, help="How long at most, metres.")] = 2500.0,
    repeat: Annotated[str, typer.Option(metavar="ID", help="The stops of this earlier walk instead.")] = "",
    url: Annotated[str, typer.Option(help="Of the city's answer form, like https://night.example.org.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only look at the walk as it stands, changed by hand.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Replace a walk of that id.")] = False,
    as_json: AsJson = False,
) -> None:
    """A walk past the stops where answers tell most, along a way of bounded length; its files may be changed by hand.

    Example: noctule walk plan helsinki --id autumn-2026 --title "Autumn walk" --date 2026-11-20 --near 60.1699,24.9384
    """
    from analytics.walk_plan import check_walk, plan_walk, repeat_walk
    from sensors.city import City
    from sensors.errors import WalkError
    from sensors.walk import walk_folder, walk_settings, write_walk

    opened = City.open(city)
    opened.require_places()
    if check:
        planned = check_walk(opened, walk_id)
    else:
        folder = walk_folder(opened, walk_id)
        if folder.exists() and not anew:
            raise WalkError(f"there is a walk '{walk_id}' already; look at it with --check, or replace it with --anew")
        settings = walk_settings(walk_id, title, date, url=url, repeats=repeat)
        if repeat:
            planned = repeat_walk(opened, settings)
        else:
            ends = [_lat_lon(text, name) if text else None for text, name in ((near, "--near"), (to, "--to"))]
            planned = plan_walk(opened, settings, near=ends[0], to=ends[1], stops=stops, length_m=length_m)
        write_walk(opened, planned.walk)
    typer.echo(json.dumps(planned.to_dict(), ensure_ascii=False) if as_json else planned.text())
    if check and planned.notes:
        raise WalkError(f"walk '{walk_id}' can be walked, but {len(planned.notes)} of its stops should be looked at")


@walk_app.command("pack")
def walk_pack(
    city: CityFolder,
    walk_id: Annotated[str, typer.Argument(metavar="ID", help="The walk.")],
    url: Annotated[
        str, typer.Option(help="Of the city's answer form, for the codes; the walk's own if empty, none without.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; `pack` in the walk's folder without it.")
    ] = None,
    participants: Annotated[int, typer.Option(min=1, max=60, help="How many the keying sheet is for.")] = 12,
    as_json: AsJson = False,
) -> None:
    """What a group takes along, in English and French: booklet, poster, keying sheet. Works without a network.

    Example: noctule walk pack helsinki autumn-2026 --url https://night.example.org
    """
    from analytics.walk_pack import write_pack
    from sensors.city import City
    from sensors.walk import read_walk, walk_folder

    opened = City.open(city)
    opened.require_places()
    walk = read_walk(opened, walk_id)
    files = write_pack(opened, walk, out or walk_folder(opened, walk_id) / "pack", url=url, participants=participants)
    typer.echo(json.dumps([str(file) for file in files]) if as_json else "\n".join(str(file) for file in files))


def _lat_lon(text: str, option: str) -> tuple[float, float]:
    """Latitude and longitude as somebody types them."""
    import math

    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        latitude = longitude = math.nan
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise typer.BadParameter(f"'{text}' must be LAT,LON in degrees, like 60.17,24.94", param_hint=option)
    return latitude, longitude


def survey_selection(
    city: CityFolder,
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Do answers and reports come from places that feel different? A rank test against what the fit left of places.

    Where they do, the map leans towards the places that people chose: send somebody to the others.

    Example: noctule survey selection helsinki
    """
    from analytics.phrases import phrases
    from analytics.selection import selection
    from sensors.city import City

    if language not in ("en", "fr"):
        raise typer.BadParameter(f"'{language}' is none of en, fr", param_hint="--language")
    found = selection(City.open(city))
    if as_json:
        print(json.dumps([one.to_dict() for one in found]))
        return
    for one in found:
        print(one.text(phrases(language)))


def survey_shares(
    city: CityFolder,
    construct: Annotated[str, typer.Argument(help="telling (told anyone, whom, heard back) or presence.")] = "telling",
    by: Annotated[str, typer.Option(metavar="COLUMNS", help="Among district, year, group, gender, age_band.")] = "",
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="OUT.csv", help="Write the shares as a table.")] = None,
    as_json: AsJson = False,
) -> None:
    """Shares of whom people told, or of what puts them at ease, of parts with enough people; never on a map.

    What is told is kept in mind, so that tables of two days differ by enough people: run it when a campaign is over.

    Example: noctule survey shares helsinki telling --by district,year,group
    """
    from analytics.answer_shares import as_csv, as_text, shares
    from sensors.city import City

    if language not in ("en", "fr"):
        raise typer.BadParameter(f"'{language}' is none of en, fr", param_hint="--language")
    opened = City.open(city)
    found = shares(opened, construct, [name.strip() for name in by.split(",") if name.strip()])
    if csv is not None:
        from sensors.errors import ExportError

        try:
            csv.write_text(as_csv(found), "utf-8")
        except OSError as error:
            raise ExportError(f"{csv} cannot be written: {error.strerror or error}") from error
        typer.echo(f"{len(found.rows)} rows in {csv}", err=True)
    elif as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        simulated = " (SIMULATED)" if "simulated" in found.origins else ""
        print(f"{opened.name}{simulated}: {found.told} answers are told, {found.waiting} wait for more people")
        print(as_text(found, language))
