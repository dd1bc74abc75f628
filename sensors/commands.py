"""The commands of the room `sensors`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sensors.city import City
    from sensors.light_survey import SurveyReport, Terms
    from sensors.night import Night
    from sensors.raster import Band

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]

city_app = typer.Typer(help="Make a city folder, or see what is wrong with one.", no_args_is_help=True)
site_app = typer.Typer(help="The register of sensors: add, move, retire, list.", no_args_is_help=True)
journal_app = typer.Typer(help="What the city did, when and where.", no_args_is_help=True)
light_survey_app = typer.Typer(help="Lux measured on a drive or from the air.", no_args_is_help=True)
layer_app = typer.Typer(help="Rasters of light, noise or footfall that the city already owns.", no_args_is_help=True)

SurveyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV of a lux drive, or a GeoTIFF from the air.")]
SurveyId = Annotated[str, typer.Option("--id", help="Id of the survey; the file's name if left out.")]
Plane = Annotated[str, typer.Option(help="What the sensor faced: horizontal, vertical; images are aerial.")]
Height = Annotated[float, typer.Option("--height", help="Of the sensor above the ground, metres; a drive needs it.")]
SensorSd = Annotated[float, typer.Option(help="Error of one cell, sd of ln lux; 0.2, for an image 0.6.")]
GainSd = Annotated[float, typer.Option(help="Error that all its cells share, sd of ln lux; 0.15, for an image 0.4.")]
Clip = Annotated[float, typer.Option(help="End of the instrument, lx: readings there mean 'at least'.")]
ColumnsOf = Annotated[str, typer.Option("--columns", help="Ours=the file's, like lux=E_h,lon=X,lat=Y.")]
When = Annotated[str, typer.Option(help="Its night or local moment, like 2014-09-16 or 2014-09-16T22:30.")]
FileCrs = Annotated[str, typer.Option("--crs", help="Projection of the file where it does not say, like EPSG:3067.")]
BandNumber = Annotated[int, typer.Option("--band", min=1, help="Of a GeoTIFF.")]
Scale = Annotated[float | None, typer.Option(help="Value = scale x number + offset.")]
Offset = Annotated[float | None, typer.Option(help="Value = scale x number + offset.")]
NoData = Annotated[float | None, typer.Option("--nodata", help="A number that means unknown, besides the file's own.")]
Attribution = Annotated[str, typer.Option(help="Whom to name in every export.")]
Licence = Annotated[str, typer.Option(help="Under which it may be used.")]
SaysSimulated = Annotated[bool, typer.Option("--simulated", help="It is made up; only a simulated city takes it.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.add_typer(city_app, name="city")
    app.add_typer(site_app, name="site")
    app.add_typer(journal_app, name="journal")
    app.add_typer(light_survey_app, name="light-survey")
    app.add_typer(layer_app, name="layer")
    app.command("presence")(presence)
    app.command("night")(night)
    app.command("photometry")(photometry)


@city_app.command("build")
def city_build(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    osm: Annotated[
        str, typer.Option(metavar="FILE.pbf", help="An OpenStreetMap extract, or 'helsinki' for the demo's own.")
    ] = "",
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="How a council's files become places.")] = "",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder with the recipe's files.")] = None,
    name: Annotated[str, typer.Option(help="The city's name for people.")] = "",
    city_id: Annotated[str, typer.Option("--id", help="The city's name in topics: a-z, 0-9, hyphen.")] = "",
    zone: Annotated[str, typer.Option(help="Time zone of the extract, like Europe/Helsinki.")] = "",
    crs: Annotated[str, typer.Option(help="Projection in metres; the UTM zone of the extract if empty.")] = "",
    simulated: Annotated[bool, typer.Option("--simulated", help="Declare it simulated and place devices.")] = False,
    allow_no_lamps: Annotated[bool, typer.Option("--allow-no-lamps", help="Build without street lamps.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the places of an existing city anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a city folder from OpenStreetMap, or by a recipe from a council's open data.

    Example: noctule city build helsinki --osm helsinki

    Example: noctule city build melbourne --recipe melbourne --data melbourne-open-data
    """
    import json

    from sensors.build import build_city, require_free

    if bool(osm) == bool(recipe):
        raise typer.BadParameter("give either --osm FILE.pbf or --recipe NAME (with --data DIR)")

    def say(line: str) -> None:
        if not as_json:
            typer.echo(f"  {line}", err=True)

    require_free(out, rebuild=rebuild)
    if osm:
        from sensors.osm import draft_from_osm

        draft = draft_from_osm(
            osm,
            id=city_id or None,
            name=name or None,
            zone=zone or None,
            crs=crs or None,
            simulated=simulated,
            allow_no_lamps=allow_no_lamps,
            say=say,
        )
    else:
        from sensors.council import draft_from_recipe

        if data is None:
            raise typer.BadParameter("--recipe needs --data DIR, the folder with the council's files")
        draft = draft_from_recipe(recipe, data, say=say)
    built = build_city(out, draft, rebuild=rebuild, say=say)
    if as_json:
        print(json.dumps(built.to_dict(), ensure_ascii=False))
        return
    for line in built.lines():
        print(line)


@city_app.command("districts")
def city_districts(
    city: CityFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Areas (GeoJSON, GeoPackage) or points (CSV, GeoJSON).")],
    column: Annotated[str, typer.Option(help="The column with the name of the district.")] = "name",
    as_json: AsJson = False,
) -> None:
    """The parts of the city that published shares are of, from areas or from points that tell their part.

    Example: noctule city districts melbourne bars_and_pubs.csv --column small_area
    """
    import json

    from sensors.city import City
    from sensors.districts import import_districts

    made = import_districts(City.open(city), file, column)
    areas = dict(zip(made["name"], (made.area / 1e6).round(3), strict=True))
    if as_json:
        print(json.dumps({"districts": areas, "source": str(made["source"].iloc[0])}, ensure_ascii=False))
        return
    print(f"{len(made)} districts, {made['source'].iloc[0]}")
    for name, km2 in areas.items():
        print(f"  {name:<40}{km2:>8.2f} km2 within the map")


@city_app.command("check")
def city_check(city: CityFolder, as_json: AsJson = False) -> None:
    """Everything that is wrong with a city folder, in one message.

    Example: noctule city check helsinki
    """
    import json

    from sensors.errors import CityError, gather
    from sensors.places import check_city

    problems = check_city(city)
    if as_json:
        print(json.dumps({"city": str(city), "problems": problems}, ensure_ascii=False))
        raise typer.Exit(1 if problems else 0)
    if problems:
        raise CityError(gather(str(city), problems))
    print(f"{city}: all is well")


@site_app.command("list")
def site_list(city: CityFolder, as_json: AsJson = False) -> None:
    """All sites of a city, retired ones included.

    Example: noctule site list helsinki
    """
    from sensors.city import City
    from sensors.register import SiteRegister

    table = SiteRegister.load(City.open(city)).table.copy()
    table["easting"], table["northing"] = table.geometry.x.round(1), table.geometry.y.round(1)
    shown = table.drop(columns="geometry")
    if as_json:
        print(shown.to_json(orient="records", date_format="iso"))
        return
    columns = ["site", "device", "quantity", "easting", "northing", "height_m", "origin", "valid_from", "valid_to"]
    print(shown[columns].to_string(index=False))


@site_app.command("add")
def site_add(
    city: CityFolder,
    device: Annotated[str, typer.Option(help="The device's name in its topic.")],
    quantity: Annotated[str, typer.Option(help="What it measures, e.g. sound_laeq.")],
    at: Annotated[str, typer.Option(metavar="LAT,LON", help="Where it is, WGS 84.")],
    height_m: Annotated[float, typer.Option("--height", help="Height above ground, metres.")] = 3.0,
    plane: Annotated[str, typer.Option(help="horizontal, vertical or none.")] = "none",
    mounting: Annotated[str, typer.Option(help="pole, facade or free.")] = "pole",
    sensor_class: Annotated[str, typer.Option("--class", help="Class of the instrument.")] = "",
    calibration: Annotated[str, typer.Option(help="When and how it was calibrated.")] = "",
    lamps: Annotated[str, typer.Option(help="Lamp ids that it controls, joined by ';'.")] = "",
    origin: Annotated[str, typer.Option(help="device, recorded or simulated.")] = "device",
    since: Annotated[str, typer.Option(help="Valid from, RFC 3339; empty means always.")] = "",
) -> None:
    """Open a site for a device.

    Example: noctule site add helsinki --device meter-9 --quantity sound_laeq --at 60.1699,24.9384 --height 4
    """
    from sensors.city import City
    from sensors.register import add_site

    opened = City.open(city)
    easting, northing = _projected(opened.crs, at)
    site = add_site(
        opened,
        device=device,
        quantity=quantity,
        easting=easting,
        northing=northing,
        origin=origin,
        height_m=height_m,
        plane=plane,
        mounting=mounting,
        sensor_class=sensor_class,
        calibration=calibration,
        lamps=lamps,
        since=_moment(since) if since else None,
    )
    print(f"site {site}: {device} measures {quantity} at {easting:.1f} E {northing:.1f} N")


@site_app.command("move")
def site_move(
    city: CityFolder,
    site: Annotated[int, typer.Argument(help="The site's number.")],
    at: Annotated[str, typer.Option(metavar="LAT,LON", help="Where it is now, WGS 84.")],
    since: Annotated[str, typer.Option(help="From when on, RFC 3339; empty means now (city time).")] = "",
) -> None:
    """Move a sensor: its site is retired and a new one opened, so that old readings keep their place.

    Example: noctule site move helsinki 14 --at 60.1702,24.9391
    """
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.register import move_site

    opened = City.open(city)
    easting, northing = _projected(opened.crs, at)
    moment = _moment(since) if since else city_clock(city).now()
    number = move_site(opened, site, easting=easting, northing=northing, since=moment)
    print(f"site {site} is retired; site {number} stands at {easting:.1f} E {northing:.1f} N")


@site_app.command("retire")
def site_retire(
    city: CityFolder,
    site: Annotated[int, typer.Argument(help="The site's number.")],
    until: Annotated[str, typer.Option(help="Until when, RFC 3339; empty means now (city time).")] = "",
) -> None:
    """Close a site; its readings stay.

    Example: noctule site retire helsinki 14
    """
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.register import retire_site

    opened = City.open(city)
    retire_site(opened, site, until=_moment(until) if until else city_clock(city).now())
    print(f"site {site} is retired")


def presence(
    city: CityFolder, file: Annotated[Path, typer.Argument(help="CSV, GeoJSON or another spatial file.")]
) -> None:
    """Take in where cameras, staff or patrols can be seen, and when; what stood there before is replaced.

    Example: noctule presence helsinki presence.csv
    """
    from sensors.city import City
    from sensors.presence import keep_presence, read_presence

    opened = City.open(city)
    frame = read_presence(file, opened)
    keep_presence(opened, frame)
    counts = ", ".join(f"{number} x {kind}" for kind, number in frame["kind"].value_counts().items())
    print(f"{opened.name}: {counts}; the next 'noctule fit' asks what goes with it")


@journal_app.command("list")
def journal_list(city: CityFolder, as_json: AsJson = False) -> None:
    """All entries of the journal, by start.

    Example: noctule journal list helsinki
    """
    from sensors.city import City
    from sensors.journal import COLUMNS, read_journal

    opened = City.open(city)
    frame = read_journal(opened)
    if as_json:
        print(frame[list(COLUMNS)].to_json(orient="records", force_ascii=False))
    elif len(frame):
        for name in ("start", "end"):  # as the city's clocks had it, whatever zone the entry was written in
            local = frame[f"{name}_time"].dt.tz_localize("UTC").dt.tz_convert(opened.zone)
            frame[name] = local.dt.strftime("%Y-%m-%d %H:%M").fillna("")
        print(frame[["entry", "kind", "start", "end", "status", "title"]].to_string(index=False))
    else:
        print("the journal is empty; 'noctule journal add' writes the first entry")


@journal_app.command("add")
def journal_add(
    city: CityFolder,
    kind: Annotated[str, typer.Option(help="event, works, measure, campaign, closing-time, decision or holiday.")],
    title: Annotated[str, typer.Option(help="One line for people.")],
    start: Annotated[str, typer.Option(help="RFC 3339 with its zone.")],
    end: Annotated[str, typer.Option(help="RFC 3339 with its zone; empty while it lasts.")] = "",
    place: Annotated[str, typer.Option(help="Where: LAT,LON or words.")] = "",
    lamps: Annotated[str, typer.Option(help="Lamp ids, joined by ';'.")] = "",
    owner: Annotated[str, typer.Option(help="The service that answers for it.")] = "",
    status: Annotated[str, typer.Option(help="planned, open, done or dropped.")] = "open",
    due: Annotated[str, typer.Option(help="RFC 3339 with its zone.")] = "",
    outcome: Annotated[str, typer.Option(help="What came of it.")] = "",
) -> None:
    """Write an entry into the journal.

    Example: noctule journal add helsinki --kind event --title "Light festival" --start 2026-11-20T18:00:00+02:00
    """
    from sensors.city import City
    from sensors.journal import Entry, add_entry

    entry = Entry("", kind, title, start, end, place, lamps, owner, status, due, outcome)
    print(f"entry {add_entry(City.open(city), entry).entry}: {title}")


@journal_app.command("import")
def journal_import(city: CityFolder, file: Annotated[Path, typer.Argument(help="A CSV file.")]) -> None:
    """Take entries from a CSV file; what stands already is left alone.

    Example: noctule journal import helsinki works-2026.csv
    """
    from sensors.city import City
    from sensors.journal import import_entries

    new, old = import_entries(City.open(city), file)
    print(f"new: {new}, stood already: {old}")


@light_survey_app.command("check")
def light_survey_check(
    city: CityFolder,
    file: SurveyFile,
    plane: Plane = "",
    height: Height = -1.0,
    sensor_sd: SensorSd = 0.0,
    gain_sd: GainSd = 0.0,
    clip: Clip = 0.0,
    columns: ColumnsOf = "",
    when: When = "",
    crs: FileCrs = "",
    band: BandNumber = 1,
    scale: Scale = None,
    offset: Offset = None,
    nodata: NoData = None,
    as_json: AsJson = False,
) -> None:
    """What would become of a survey of light; nothing is kept.

    Example: noctule light-survey check helsinki drive.csv --height 1.6
    """
    import json

    from sensors.city import City

    terms = _survey_terms(file, "", plane, height, sensor_sd, gain_sd, clip)
    report = _read_survey(City.open(city), file, terms, columns, when, crs, _band(band, scale, offset, nodata))[2]
    print(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.text())


@light_survey_app.command("import")
def light_survey_import(
    city: CityFolder,
    file: SurveyFile,
    survey: SurveyId = "",
    plane: Plane = "",
    height: Height = -1.0,
    sensor_sd: SensorSd = 0.0,
    gain_sd: GainSd = 0.0,
    clip: Clip = 0.0,
    columns: ColumnsOf = "",
    when: When = "",
    crs: FileCrs = "",
    band: BandNumber = 1,
    scale: Scale = None,
    offset: Offset = None,
    nodata: NoData = None,
    instrument: Annotated[str, typer.Option(help="What measured, in words.")] = "",
    attribution: Attribution = "",
    licence: Licence = "",
    simulated: SaysSimulated = False,
    as_json: AsJson = False,
) -> None:
    """Take a survey of light into the city: medians by cell, no track, nothing that names anybody.

    A CSV is a lux drive, a GeoTIFF an image from the air or a drone with its calibration to lux on the ground. The
    same file twice changes nothing.

    Example: noctule light-survey import helsinki drive.csv --id drive-2026 --height 1.6 --clip 99.3

    Example: noctule light-survey import helsinki flight.tif --when 2026-03-12T23:40 --scale 0.021
    """
    import json

    import msgspec

    from sensors.city import City
    from sensors.light_survey import name_from, save_survey

    opened = City.open(city)
    terms = msgspec.structs.replace(
        _survey_terms(file, name_from(file, survey), plane, height, sensor_sd, gain_sd, clip),
        instrument=instrument,
        attribution=attribution,
        licence=licence,
        origin="simulated" if simulated else "recorded",
    )
    described, cells, report = _read_survey(opened, file, terms, columns, when, crs, _band(band, scale, offset, nodata))
    report.known = not save_survey(opened, described, cells)
    if as_json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    print(report.text())
    stands = "stood already" if report.known else "is kept"
    print(f"light survey '{terms.survey}' of {opened.name} {stands}; the map knows it from its next start")


@light_survey_app.command("list")
def light_survey_list(city: CityFolder, as_json: AsJson = False) -> None:
    """The city's surveys of light and what was stated of them.

    Example: noctule light-survey list helsinki
    """
    import json

    import msgspec

    from sensors.city import City
    from sensors.light_survey import survey_terms

    held = survey_terms(City.open(city))
    if as_json:
        print(json.dumps([msgspec.to_builtins(terms) for terms in held], ensure_ascii=False))
        return
    for terms in held:
        print(
            f"{terms.survey}: {terms.readings} readings, {terms.first} to {terms.last}, {terms.plane} at "
            f"{terms.height_m:g} m, sd {terms.sd:g}, shared {terms.gain_sd:g}, {terms.origin}"
        )
    if not held:
        print("no light surveys")


@light_survey_app.command("remove")
def light_survey_remove(city: CityFolder, survey: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Take a survey of light out of the city.

    Example: noctule light-survey remove helsinki drive-2026
    """
    from sensors.city import City
    from sensors.light_survey import remove_survey

    gone = remove_survey(City.open(city), survey)
    print(f"light survey '{survey}' with {gone} cells is removed; the map forgets it from its next start")


@layer_app.command("import")
def layer_import(
    city: CityFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE.tif", help="A GeoTIFF.")],
    layer: Annotated[str, typer.Option("--layer", help="Which field it is of: illuminance, noise or footfall.")],
    kind: Annotated[str, typer.Option(help="measured or modelled.")],
    unit: Annotated[str, typer.Option(help="Of the file: lx, fc; dB, dB(A); persons/h, persons/day, persons/15min.")],
    name: Annotated[str, typer.Option("--id", help="Its id; the file's name if left out.")] = "",
    title: Annotated[str, typer.Option("--name", help="What it is called, for people.")] = "",
    sd: Annotated[float, typer.Option(help="Its error: sd of ln lx, of dB, or of ln persons/h.")] = 0.0,
    sd_file: Annotated[Path | None, typer.Option(metavar="FILE.tif", help="A GeoTIFF of that error instead.")] = None,
    use: Annotated[
        str, typer.Option(help="overlay: kept and handed out; background: weighed into the map.")
    ] = "overlay",
    indicator: Annotated[str, typer.Option(help="Of noise: laeq (at night), lden or lnight (roads and rail).")] = "",
    hours: Annotated[str, typer.Option(help="Of footfall: local hours that it is the mean of, like 20-06.")] = "",
    lamp_level: Annotated[float, typer.Option(help="Of illuminance: level 0..1 that the lamps had.")] = 1.0,
    classes: Annotated[str, typer.Option(help="Number=value, where the file holds codes: 1=57.5,2=62.5.")] = "",
    valid_from: Annotated[str, typer.Option(metavar="NIGHT", help="First night it is true of.")] = "",
    valid_to: Annotated[str, typer.Option(metavar="NIGHT", help="Last night it is true of.")] = "",
    crs: FileCrs = "",
    band: BandNumber = 1,
    scale: Scale = None,
    offset: Offset = None,
    nodata: NoData = None,
    attribution: Attribution = "",
    licence: Licence = "",
    simulated: SaysSimulated = False,
    as_json: AsJson = False,
) -> None:
    """Take a raster that the city already owns, measured or modelled, onto its cells.

    Decibels are averaged as energy, all else as numbers. As a background it counts by its stated error.

    Example: noctule layer import helsinki lden.tif --layer noise --indicator lden --kind modelled --unit dB --sd 3
    """
    import json

    import msgspec

    from sensors.city import City
    from sensors.city_layer import LayerTerms, read_layer, save_layer
    from sensors.light_survey import name_from

    opened = City.open(city)
    terms = LayerTerms(
        layer=name_from(file, name),
        field=layer,
        kind=kind,
        unit=unit,
        sd=0.0 if sd_file else sd,
        use=use,
        title=title,
        indicator=indicator,
        hours=hours,
        lamp_level=lamp_level,
        valid_from=valid_from,
        valid_to=valid_to,
        origin="simulated" if simulated else "recorded",
        attribution=attribution,
        licence=licence,
    )
    chosen = msgspec.structs.replace(_band(band, scale, offset, nodata), classes=_classes(classes))
    described, both, report = read_layer(file, opened, terms, band=chosen, sd_file=sd_file, crs=crs)
    report.known = not save_layer(opened, described, both)
    if as_json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    print(report.text())
    how = (
        "is weighed into the map from its next start"
        if use == "background"
        else "changes no map (--use background would)"
    )
    print(f"layer '{terms.layer}' of {opened.name} {'stood already' if report.known else 'is kept'}; it {how}")


@layer_app.command("list")
def layer_list(city: CityFolder, as_json: AsJson = False) -> None:
    """The city's own layers and what was stated of them.

    Example: noctule layer list helsinki
    """
    import json

    import msgspec

    from sensors.city import City
    from sensors.city_layer import layer_terms

    held = layer_terms(City.open(city))
    if as_json:
        print(json.dumps([msgspec.to_builtins(terms) for terms in held], ensure_ascii=False))
        return
    for terms in held:
        valid = f"{terms.valid_from or '...'} to {terms.valid_to or '...'}"
        error = f"sd {terms.sd:g}" if terms.sd else "sd by cell"
        print(f"{terms.layer}: {terms.field}, {terms.kind}, {error}, {terms.use}, {valid}, {terms.origin}")
    if not held:
        print("no layers")


@layer_app.command("export")
def layer_export(
    city: CityFolder,
    name: Annotated[str, typer.Argument(metavar="LAYER", help="Its id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.tif", help="The file to write.")],
) -> None:
    """Hand out one of the city's own layers as a GeoTIFF on the city's cells, with its error and licence.

    Example: noctule layer export helsinki lden lden-on-the-grid.tif
    """
    from sensors.city import City
    from sensors.city_layer import load_layer, write_geotiff

    opened = City.open(city)
    terms, both = load_layer(opened, name)
    write_geotiff(out, opened, terms, both)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


@layer_app.command("remove")
def layer_remove(city: CityFolder, name: Annotated[str, typer.Argument(metavar="LAYER", help="Its id.")]) -> None:
    """Take a layer out of the city.

    Example: noctule layer remove helsinki lden
    """
    from sensors.city import City
    from sensors.city_layer import remove_layer

    remove_layer(City.open(city), name)
    print(f"layer '{name}' is removed; the map forgets it from its next start")


def _survey_terms(
    file: Path, survey: str, plane: str, height: float, sensor_sd: float, gain_sd: float, clip: float
) -> Terms:
    from sensors.light_survey import Terms, name_from

    image = _is_raster(file)
    facing = plane or ("aerial" if image else "horizontal")
    if height < 0 and facing != "aerial":
        raise typer.BadParameter("state how high the sensor was, like 1.6 for a roof", param_hint="--height")
    return Terms(
        survey=name_from(file, survey),
        plane=facing,
        height_m=max(height, 0.0),
        sd=sensor_sd or (0.6 if image else 0.2),
        gain_sd=gain_sd or (0.4 if image else 0.15),
        clip_lux=clip,
    )


def _read_survey(
    city: City, file: Path, terms: Terms, columns: str, when: str, crs: str, band: Band
) -> tuple[Terms, pd.DataFrame, SurveyReport]:
    if _is_raster(file):
        from sensors.night_image import read_night_image

        return read_night_image(file, city, terms, band=band, when=when, crs=crs)
    from sensors.lux_drive import read_lux_drive

    if terms.plane == "aerial":
        raise typer.BadParameter("a CSV is a drive: horizontal or vertical", param_hint="--plane")
    return read_lux_drive(file, city, terms, columns=_pairs(columns, "--columns"), when=when, crs=crs)


def _is_raster(file: Path) -> bool:
    return file.suffix.lower() in (".tif", ".tiff")


def _band(number: int, scale: float | None, offset: float | None, nodata: float | None) -> Band:
    from sensors.raster import Band

    return Band(number=number, scale=scale, offset=offset, nodata=nodata)


def _pairs(text: str, option: str) -> dict[str, str]:
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise typer.BadParameter(f"'{text}' must be pairs like lux=E_h,lon=X", param_hint=option)
    return {ours.strip(): theirs.strip() for ours, theirs in pairs}


def _classes(text: str) -> tuple[tuple[float, float], ...]:
    try:
        return tuple((float(code), float(value)) for code, value in _pairs(text, "--classes").items())
    except ValueError:
        raise typer.BadParameter(f"'{text}' must be pairs of numbers like 1=57.5", param_hint="--classes") from None


def night(
    city: Annotated[
        Path | None, typer.Argument(metavar="[CITY]", help="A city folder; or give --at and --zone.")
    ] = None,
    at: Annotated[str, typer.Option(metavar="LAT,LON", help="WGS 84.")] = "",
    zone: Annotated[str, typer.Option(help="Time zone, like Europe/Helsinki.")] = "",
    date: Annotated[str, typer.Option(help="The local date on which the night begins; today if empty.")] = "",
    as_json: AsJson = False,
) -> None:
    """When is the night: sunset, civil dusk and dawn, sunrise, its real hours.

    Example: noctule night --at 60.17,24.94 --zone Europe/Helsinki --date 2026-11-20
    """
    import json

    from sensors.night import sun_times

    latitude, longitude, asked = _night_asked(city, at, zone, date)
    times = sun_times(latitude, longitude, asked)
    if as_json:
        print(json.dumps(times.to_dict()))
        return
    print(f"night of {asked.name} ({asked.zone.key})")
    for name in ("sunset", "civil_dusk", "civil_dawn", "sunrise"):
        print(f"  {name.replace('_', ' '):<11} {_local(getattr(times, name), asked.zone.key)}")
    print(f"  dark        {times.dark_hours:.2f} h (sun below -6 degrees)")
    print(f"  23:00-07:00 {times.end_night_hours:.0f} h")


def photometry(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An LM-63 (.ies) or EULUMDAT (.ldt) file.")],
    at: Annotated[
        list[str] | None, typer.Option(metavar="C,GAMMA", help="Print the intensity there, degrees; may be repeated.")
    ] = None,
    orientation: Annotated[
        str, typer.Option(help="Draw with this side facing the street: street-c0, -c90, -c180, -c270.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """What a luminaire's photometric file says: flux, shares, symmetry, intensities; refused where it cannot be true.

    C is counted as in the file, also with --orientation, which turns the drawing only.

    Example: noctule photometry lantern.ldt --at 90,60 --json
    """
    import json

    from sensors.luminaire import ORIENTATIONS
    from sensors.luminaire_files import read_luminaire
    from sensors.photometry_report import photometry_dict, photometry_text

    asked = [_direction(text) for text in at or []]
    if orientation and orientation not in ORIENTATIONS:
        raise typer.BadParameter(f"'{orientation}' must be {' or '.join(ORIENTATIONS)}", param_hint="--orientation")
    luminaire = read_luminaire(file)
    if as_json:
        print(json.dumps(photometry_dict(luminaire, asked), ensure_ascii=False))
        return
    print(photometry_text(luminaire, asked, orientation))


def _direction(text: str) -> tuple[float, float]:
    try:
        c, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' must be C,GAMMA in degrees, like 90,60", param_hint="--at") from None
    if not (-360.0 <= c <= 360.0 and 0.0 <= gamma <= 180.0):
        raise typer.BadParameter(
            f"'{text}' lies not on the sphere; C is from -360 to 360, gamma from 0 to 180", param_hint="--at"
        )
    return c, gamma


def _night_asked(city: Path | None, at: str, zone: str, date: str) -> tuple[float, float, Night]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.errors import CityError
    from sensors.night import Night, night_of

    if city is not None:
        opened = City.open(city)
        longitude, latitude = opened.centre_lonlat()
        place, now = opened.zone, city_clock(city).now()
    elif at and zone:
        import numpy

        latitude, longitude = _latlon(at)
        try:
            place = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise CityError(f"zone '{zone}' is no time zone; write one like Europe/Helsinki") from None
        now = numpy.datetime64("now", "ms")
    else:
        raise typer.BadParameter("give a city folder, or --at LAT,LON and --zone TZ")
    if not date:
        return latitude, longitude, night_of(now, place)
    try:
        return latitude, longitude, Night.named(date, place)
    except ValueError:
        raise typer.BadParameter(f"date '{date}' must be a day like 2026-11-20") from None


def _latlon(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' must be LAT,LON in degrees, like 60.17,24.94") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise typer.BadParameter(f"'{text}' is not on the globe; latitude comes first")
    return latitude, longitude


def _projected(crs: str, text: str) -> tuple[float, float]:
    from pyproj import Transformer

    latitude, longitude = _latlon(text)
    easting, northing = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    return float(easting), float(northing)


def _moment(text: str) -> np.datetime64:
    from sensors.night import parse_rfc3339

    try:
        return parse_rfc3339(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' must be a time with its zone, like 2026-11-20T22:00:00+02:00") from None


def _local(moment: np.datetime64 | None, zone: str) -> str:
    if moment is None:
        return "not this night"
    import pandas as pd

    return f"{pd.Timestamp(moment, tz='UTC').tz_convert(zone):%Y-%m-%d %H:%M:%S %Z}"
