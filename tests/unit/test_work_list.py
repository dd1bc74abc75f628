"""The lamp work-list: a dead lamp is on it once, with what the city says of it, until somebody has a ticket for it."""

from __future__ import annotations

import csv
import io
import json
import warnings

import geopandas
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ingest.archive import append_records
from ingest.commands import register
from ingest.work_list import (
    COLUMNS,
    Passages,
    Ticket,
    as_csv,
    as_geojson,
    as_text,
    read_tickets,
    work_list,
    write_list,
)
from sensors.clock import set_clock
from sensors.errors import CityError, ExportError
from sensors.night import night_of
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records
from tests.synthetic_city import make_city

EVENING = np.datetime64("2026-11-20T15:00", "ms")
NOW = np.datetime64("2026-11-20T23:00", "ms")
OUTAGE_AT = np.datetime64("2026-11-20T21:07", "ms")
EVERY = np.timedelta64(15 * 60_000, "ms")

app = typer.Typer()
register(app)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A night in which every controller says that its lamp burns, but for the first."""
    city = make_city(tmp_path_factory.mktemp("lamps") / "town")
    set_clock(city.path, NOW, 1.0)
    sites = city.places("sites")
    watts = dict(zip(city.places("lamps")["lamp"].astype(str), city.places("lamps")["watts"], strict=True))
    lamps = sites[sites["quantity"].isin(("dimming", "power", "lamp_ok"))]
    dead = sorted(lamps["device"].unique())[0]
    moments = np.arange(EVENING, NOW + EVERY, EVERY)
    parts = []
    for place, site in enumerate(lamps.itertuples()):
        part = empty_records(len(moments))
        part["site"], part["quantity"] = site.site, QUANTITIES[site.quantity].code
        part["time"] = part["received"] = moments + np.timedelta64(place % 7, "s")
        part["boot"], part["seq"], part["part"] = 1, np.arange(len(moments)), list(QUANTITIES).index(site.quantity)
        broken = site.device == dead
        usual = {"dimming": 1.0, "power": sum(watts[lamp] for lamp in site.lamps.split(";")), "lamp_ok": 1.0}
        part["value"] = usual[site.quantity] * (not broken or site.quantity == "dimming")
        parts.append(part)
    append_records(city, np.concatenate(parts), "test")
    return city, dead


def faults(town, **how):
    city, _ = town
    return work_list(city, night_of(NOW, city.zone), until=NOW, **how)


def test_a_dead_lamp_is_one_row_with_its_place_and_its_loss(town):
    city, dead = town
    (row,) = faults(town).to_dict("records")
    lamps = city.places("lamps").set_index(city.places("lamps")["lamp"].astype(str))
    lamp = lamps.loc[row["lamp"]]
    assert (row["kind"], row["state"], row["device"]) == ("dead", "standing", dead)
    assert row["since"].startswith("2026-11-20T1")
    assert (row["easting"], row["northing"]) == (round(lamp.geometry.x, 2), round(lamp.geometry.y, 2))
    assert row["light_lost_lm"] == pytest.approx(lamp["lumens"] * lamp["mf"], rel=1e-6)
    assert (row["passages_from"], row["origin"]) == ("unknown", "simulated")


def ticket_for(row, state, tmp_path, delimiter=","):
    file = tmp_path / "cms.csv"
    asset = row["asset_id"] or row["lamp"]
    lines = [["ASSET_ID", "state", "opened", "ticket"], [asset, state, "2026-11-19", "T-1"]]
    file.write_text("\ufeff" + "\n".join(delimiter.join(line) for line in lines) + "\n", "utf-8")
    return read_tickets(file)


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize(("state", "listed"), [("open", 0), ("in progress", 0), ("Closed", 1), (" repaired ", 1)])
def test_a_lamp_with_an_open_ticket_is_not_reported_again(town, tmp_path, state, listed, delimiter):
    (row,) = faults(town).to_dict("records")
    tickets = ticket_for(row, state, tmp_path, delimiter)
    assert len(faults(town, tickets=tickets)) == listed
    (all_of_them,) = faults(town, tickets=tickets, everything=True).to_dict("records")
    assert (all_of_them["ticket"], all_of_them["ticket_state"]) == ("T-1", state.strip())


def test_of_several_tickets_of_one_lamp_an_open_one_counts(tmp_path):
    file = tmp_path / "cms.csv"
    file.write_text("asset_id,state,opened,ticket\na,open,,T-1\na,closed,,T-2\nb,closed,,T-3\nb,closed,,T-4\n")
    tickets = read_tickets(file)
    assert (tickets["a"].ticket, tickets["b"].ticket) == ("T-1", "T-4")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        (b"asset;state\n", "lacks asset_id, opened, ticket"),
        (b"", "lacks asset_id, state, opened, ticket"),
        (b"asset_id,state,opened,ticket\n\xff,x,,\n", "is not UTF-8"),
        (b"asset_id,state,opened,ticket\nA1,open,," + b"x" * 10_000_000 + b"\n", "no table of tickets"),
    ],
)
def test_a_file_of_tickets_that_is_none_is_refused_in_a_sentence(tmp_path, content, sentence):
    file = tmp_path / "cms.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ExportError, match=sentence):
        read_tickets(file)


def test_the_three_files_hold_the_same_rows(town, tmp_path):
    table = faults(town)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a reader of the command would see them
        for kind in ("csv", "geojson", "gpkg"):
            write_list(table, kind, tmp_path / f"list.{kind}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "list.geojson", "list.gpkg"]
    (in_csv,) = csv.DictReader(io.StringIO((tmp_path / "list.csv").read_text("utf-8")))
    assert tuple(in_csv) == COLUMNS
    in_json, in_pack = (geopandas.read_file(tmp_path / name) for name in ("list.geojson", "list.gpkg"))
    assert (in_json.crs.to_epsg(), in_pack.crs.to_epsg()) == (4326, 3067)
    for one in (in_json, in_pack):
        assert one["device"].tolist() == [in_csv["device"]] == table["device"].tolist()
    assert in_json.geometry[0].x == pytest.approx(float(in_csv["longitude"]), abs=1e-6)
    assert in_pack.geometry[0].x == pytest.approx(float(in_csv["easting"]), abs=0.01)


def test_no_cell_is_a_formula_for_a_spreadsheet(town):
    table = faults(town)
    table["street"] = "=HYPERLINK(0)"
    assert "'=HYPERLINK(0)" in as_csv(table)
    assert json.loads(as_geojson(table))["features"][0]["properties"]["street"] == "=HYPERLINK(0)"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_whatever_a_spreadsheet_takes_for_a_formula_is_text_in_csv_alone(town, text):
    table = faults(town)
    table["evidence"] = text
    (row,) = csv.DictReader(io.StringIO(as_csv(table), newline=""))
    assert row["evidence"] == f"'{text}"
    assert float(row["longitude"]) > 0  # numbers stay numbers


def test_a_cell_with_line_ends_stays_in_its_row(town):
    table = faults(town)
    table["evidence"] = 'one\r=two\nthree, "four"'
    (row,) = csv.DictReader(io.StringIO(as_csv(table), newline=""))
    assert row["evidence"] == 'one =two\nthree, "four"'


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A cabinet has lost its supply; one of its lamps was dead before, and one of another; a counter counts."""
    city = make_city(tmp_path_factory.mktemp("outage") / "town")
    set_clock(city.path, NOW, 1.0)
    sites = city.places("sites")
    lamps = city.places("lamps").set_index("lamp")
    controllers = sites[sites["quantity"].isin(("dimming", "lamp_ok"))]
    cabinet = controllers["lamps"].map(lamps["cabinet"])
    dead = [controllers["device"][cabinet == name].iloc[0] for name in ("cabinet-0", "cabinet-1")]
    moments = np.arange(EVENING, NOW + EVERY, EVERY)
    parts = []
    for place, (site, its) in enumerate(zip(controllers.itertuples(), cabinet, strict=True)):
        times = moments + np.timedelta64(place * 13, "s")
        times = times[(times < OUTAGE_AT) | (its != "cabinet-1")]
        part = empty_records(len(times))
        part["site"], part["quantity"] = site.site, QUANTITIES[site.quantity].code
        part["time"] = part["received"] = times
        part["value"] = 0.0 if site.quantity == "lamp_ok" and site.device in dead else 1.0
        parts.append(part)
    counter = int(sites[sites["device"] == "counter-05"]["site"].iloc[0])  # in the south-west
    for back in range(1, 4):
        begin = np.datetime64("2026-11-20T18:00", "ms") - np.timedelta64(back, "D")  # 20:00 local, for ten hours
        part = empty_records(40)
        part["site"], part["quantity"], part["value"] = counter, QUANTITIES["people_flow"].code, [10.0, 30, 5][back - 1]
        part["time"] = part["received"] = begin + np.arange(1, 41) * EVERY
        part["duration_s"] = 900
        parts.append(part)
    append_records(city, np.concatenate(parts), "test")
    return city, dead


def test_an_outage_is_one_row_of_all_its_lamps_and_what_was_dead_before_needs_a_lamp_as_well(broken):
    city, dead = broken
    table = faults(broken)
    outages = table[table["kind"] == "cabinet-outage"]
    (row,) = outages.to_dict("records")
    assert (row["cabinet"], row["device"], row["state"], row["lamps"]) == ("cabinet-1", "", "standing", 22)
    lamps = city.places("lamps")
    assert set(row["lamp"].split(";")) == set(lamps[lamps["cabinet"] == "cabinet-1"]["lamp"])
    assert row["light_lost_lm"] == pytest.approx((lamps["lumens"] * lamps["mf"])[lamps["cabinet"] == "cabinet-1"].sum())
    assert sorted(table[table["kind"] != "cabinet-outage"]["device"]) == sorted(dead)
    assert table["kind"][0] == "cabinet-outage"  # first what concerns most


def test_a_ticket_for_the_cabinet_is_one_for_its_outage_and_for_no_lamp(broken):
    ticket = {"cabinet-1": Ticket("cabinet-1", "open", "", "T-9")}
    assert "cabinet-outage" not in set(faults(broken, tickets=ticket)["kind"])
    assert "dead" in set(faults(broken, tickets=ticket)["kind"])
    told = faults(broken, tickets=ticket, everything=True)
    assert told[told["kind"] == "cabinet-outage"]["state"].tolist() == ["ticket"]


def test_passages_are_those_of_a_usual_night_at_the_counter_beside_or_unknown(broken):
    city, (near, _) = broken
    row = faults(broken).set_index("device").loc[near]
    assert row["passages"] == 400  # 10 a quarter of an hour, for ten hours, in the middle one of three nights
    lamp = city.places("lamps").set_index("lamp").loc[row["lamp"]]
    counter = city.places("sites").set_index("device").loc["counter-05"]
    assert row["passages_from"] == f"counter counter-05 at {lamp.geometry.distance(counter.geometry):.0f} m"
    points = np.array([[lamp.geometry.x, lamp.geometry.y], [lamp.geometry.x + 140, lamp.geometry.y + 140]])
    found = Passages.at(city, night_of(NOW, city.zone), points, np.array(["", ""], object))
    assert found.source[1] == "unknown" and np.isnan(found.count[1])
    assert found.busiest([1]) == (pytest.approx(np.nan, nan_ok=True), "unknown")
    assert found.busiest([0, 1])[0] == 400


def test_the_command_prints_and_writes_it(town, tmp_path):
    city, dead = town
    said = CliRunner().invoke(app, ["health", str(city.path), "--lamps"])
    assert said.exit_code == 0
    assert said.stdout.startswith("lamps of Smalltown, night of 2026-11-20 (SIMULATED): 1 to see to\ndead ")
    told = CliRunner().invoke(app, ["health", str(city.path), "--lamps", "--json"])
    assert [row["device"] for row in json.loads(told.stdout)] == [dead]
    out = tmp_path / "list.gpkg"
    written = CliRunner().invoke(app, ["health", str(city.path), "--lamps", "--out", str(out)])
    assert written.exit_code == 0
    assert out.is_file()


def told(town, tmp_path, lamp, number, **fields):
    """A made-up report about a lamp, taken into the city."""
    from ingest.app_reports import import_reports

    city, _ = town
    point = geopandas.GeoSeries([lamp.geometry], crs=city.crs).to_crs("EPSG:4326").iloc[0]
    row = {
        "service_request_id": number,
        "service_name": "Street light out",
        "status": "open",
        "requested_datetime": "2026-11-18T20:00:00Z",
        "agency_responsible": "Lighting Services",
        "service_notice": "Within ten days",
        "lat": point.y,
        "long": point.x,
    }
    (tmp_path / "app.json").write_text(json.dumps([row | fields]))
    (tmp_path / "app.toml").write_text('[services]\n"Street light out" = "lamp"\n')
    import_reports(city, tmp_path / "app.json", mapping=tmp_path / "app.toml", simulated=True)


@pytest.fixture
def no_reports_after(town):
    yield
    for file in town[0].shelf("reports").glob("*.parquet"):
        file.unlink()


def test_a_report_about_a_dead_lamp_joins_its_row_with_who_answers(town, tmp_path, no_reports_after):
    (before,) = faults(town).to_dict("records")
    lamps = town[0].places("lamps")
    dead = lamps[lamps["lamp"].astype(str) == before["lamp"]].iloc[0]
    told(town, tmp_path, dead, "1")
    told(town, tmp_path, dead, "2", status="closed", updated_datetime="2026-11-20T20:00:00Z")
    (row,) = faults(town).to_dict("records")
    assert (row["kind"], row["reports"], row["answered_by"]) == ("dead", 1, "Lighting Services")
    assert row["answering"] == "Within ten days; 1 of 2 answered, half of them within 2.0 days"
    assert row["reported_since"].startswith("2026-11-18T20:00")
    assert "answered by Lighting Services" in as_text(faults(town))
    assert (before["reports"], before["answered_by"]) == (0, "")


def test_a_lamp_that_only_people_found_is_a_row_that_says_so(town, tmp_path, no_reports_after):
    city, dead = town
    sites = city.places("sites")
    whole = sites[(sites["quantity"] == "dimming") & (sites["device"] != dead)].iloc[0]
    lamps = city.places("lamps")
    lamp = lamps[lamps["lamp"].astype(str) == whole["lamps"].split(";")[0]].iloc[0]
    told(town, tmp_path, lamp, "1")
    rows = faults(town).set_index("kind")
    assert list(rows.index) == ["dead", "reported"]
    row = rows.loc["reported"]
    assert row["lamp"] == str(lamp["lamp"]) and np.isnan(row["light_lost_lm"]) and row["nights"] == 3
    assert row["evidence"] == (
        "reported once, first on 2026-11-18, not confirmed by telemetry: its controller finds no fault"
    )
    told(town, tmp_path, lamp, "1", status="closed", updated_datetime="2026-11-19T20:00:00Z")
    assert list(faults(town)["kind"]) == ["dead"]


def test_a_city_without_telemetry_has_the_lamps_that_people_told_of(tmp_path):
    city = make_city(tmp_path / "town")
    set_clock(city.path, NOW, 1.0)
    with pytest.raises(CityError, match="no lamp controller was heard"):
        work_list(city, night_of(NOW, city.zone), until=NOW)
    told((city, ""), tmp_path, city.places("lamps").iloc[0], "1")
    (row,) = work_list(city, night_of(NOW, city.zone), until=NOW).to_dict("records")
    assert (row["kind"], row["reports"]) == ("reported", 1)
    assert row["evidence"].endswith("no controller says anything of it")
