"""A night walk of simulated people from its plan to its two pages: it changes the map, and its actions are open."""

from __future__ import annotations

import json
import re
import socket

import numpy as np
import openpyxl
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from analytics.model import load_model
from firmware_sim import safety
from firmware_sim.town import Town
from ingest.archive import answers
from noctule import app
from sensors.journal import read_journal
from sensors.walk import read_walk
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows, written

WALKERS = 14


def noctule(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    return done.stdout


def key_in(city, walk, sheet):
    """Simulated people answer at each stop by the simulator's own truth of places; who they are stands on one row."""
    town = Town.of(city, 20)
    points = shapely.get_coordinates(walk.stops.geometry.to_numpy())
    place = dict(zip(walk.stops.index, safety.place_effect(town, points), strict=True))
    generator = np.random.default_rng(7)
    temper = generator.normal(0, safety.PERSON_SD, WALKERS)
    book = openpyxl.load_workbook(sheet)
    page = book["answers"]
    column = {cell.value: cell.column for cell in page[1]}
    for row in range(2, page.max_row + 1):
        who, stop, light = (page.cell(row, column[name]).value for name in ("participant", "stop", "light_state"))
        woman = who % 2 == 0
        eta = place[stop] + temper[who - 1] + (1.3 if light == "day" else 0.0) + woman * safety.COEFFICIENTS["woman"]
        page.cell(row, column["category"]).value = int(safety.category(np.array([eta]), generator.normal(size=1))[0])
        if light == "day" and stop == walk.stops.index[0]:
            page.cell(row, column["gender"]).value = "woman" if woman else "man"
    book.save(sheet)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A city in whose west people were asked, and a walk all over it, closed without any connection."""
    folder = tmp_path_factory.mktemp("walk")
    city = make_city(folder / "town")
    table = rows(160, seed=2)
    table["pseudonym"] = [f"resident {number // 2}" for number in range(len(table))]
    west = table[table["lon"] < table["lon"].median()]
    import_file = written(folder, west)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
        noctule("survey", "import", city.path, import_file, "--simulated")
        noctule("fit", city.path, "--night", "2026-11-19")
        before = load_model(city)
        noctule("walk", "plan", city.path, "--id", "autumn", "--title", "Autumn walk", "--date", "2026-11-20",
                "--stops", 5, "--length-m", 1200, "--url", "https://night.example.org")  # fmt: skip
        noctule("walk", "pack", city.path, "autumn", "--participants", WALKERS)
        walk = read_walk(city, "autumn")
        pack = city.path / "walks" / "autumn" / "pack"
        key_in(city, walk, pack / "keying-sheet.xlsx")
        actions = pack / "actions.csv"
        agreed = "Mend the lamp,Lighting,2027-01-31,1\nOpen the gate,Parks,2027-02-28,\n"
        actions.write_text(actions.read_text("utf-8") + agreed, "utf-8")
        arguments = ("walk", "close", city.path, "autumn", "--sheet", pack / "keying-sheet.xlsx", "--actions", actions)
        said = json.loads(noctule(*arguments, "--json"))
    return city, walk, before, said, arguments


def test_everybody_who_walked_is_in_the_answers_by_day_and_after_dark(closed):
    city, walk, _, said, _ = closed
    kept = pd.DataFrame(answers(city))
    kept = kept[kept["campaign"] == "walk-autumn"]
    assert said["people"] == WALKERS == kept["pseudonym"].nunique()
    assert len(kept) == WALKERS * len(walk.stops) * 2
    assert set(kept["light_state"]) == {"day", "dark"}
    assert set(kept["gender"]) == {"woman", "man"}
    middles = city.places("sections").geometry.interpolate(0.5, normalized=True)
    assert set(zip(kept["easting"], kept["northing"], strict=True)) <= set(zip(middles.x, middles.y, strict=True))


def test_the_map_changes_where_the_group_stood(closed):
    city, _, before, said, _ = closed
    after = load_model(city)
    assert after.digest != before.digest
    assert "walk-autumn" in after.perception.campaigns
    assert (after.support.size_m > 0).sum() > (before.support.size_m > 0).sum()
    assert said["footfall_shown_after"] > said["footfall_shown_before"]
    assert said["stops_newly_shown"] > 0 and said["stops_hatched"] == 0
    assert said["width_after"] < said["width_before"]


def test_the_two_pages_are_there_in_both_languages(closed):
    city = closed[0]
    folder = city.path / "walks" / "autumn"
    for language in ("en", "fr"):
        printed = (folder / f"report.{language}.pdf").read_bytes()
        assert printed.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
        page = (folder / f"report.{language}.html").read_text("utf-8")
        assert "Mend the lamp" in page and f"lang={language}" in page


def test_what_was_agreed_is_open_in_the_journal_with_who_and_by_when(closed):
    journal = read_journal(closed[0])
    own = journal[journal["place"].str.startswith("walk-autumn")]
    assert own["kind"].tolist() == ["campaign", "measure", "measure"]
    measures = own[own["kind"] == "measure"]
    assert measures["status"].tolist() == ["open", "open"]
    assert measures["owner"].tolist() == ["Lighting", "Parks"]
    assert measures["due"].str[:10].tolist() == ["2027-01-31", "2027-02-28"]


def test_closing_it_again_changes_nothing_twice(closed):
    city, _, _, said, arguments = closed
    folder = city.path / "walks" / "autumn"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    journal, kept = read_journal(city), len(answers(city))
    again = json.loads(noctule(*arguments, "--json"))
    assert {**again, "journal_entries_new": None} == {**said, "journal_entries_new": None}
    assert again["journal_entries_new"] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files
    assert read_journal(city).equals(journal) and len(answers(city)) == kept


def test_next_years_walk_stands_at_the_same_stops(closed):
    city, walk = closed[:2]
    noctule("walk", "plan", city.path, "--id", "autumn-2027", "--title", "Again", "--date", "2027-11-19",
            "--repeat", "autumn")  # fmt: skip
    again = read_walk(city, "autumn-2027")
    assert again.stops.index.tolist() == walk.stops.index.tolist()
    assert again.stops.geometry.distance(walk.stops.geometry).max() < 0.2
    assert again.campaign == "walk-autumn-2027"
