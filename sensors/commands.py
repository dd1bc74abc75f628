"""The commands of the room `sensors`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from sensors.night import Night

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]

city_app = typer.Typer(help="Make a city folder, or see what is wrong with one.", no_args_is_help=True)
site_app = typer.Typer(help="The register of sensors: add, move, retire, list.", no_args_is_help=True)
journal_app = typer.Typer(help="What the city did, when and where.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.add_typer(city_app, name="city")
    app.add_typer(site_app, name="site")
    app.add_typer(journal_app, name="journal")
    app.command("night")(night)


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
    kind: Annotated[str, typer.Option(help="event, works, measure, campaign, closing-time or decision.")],
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
