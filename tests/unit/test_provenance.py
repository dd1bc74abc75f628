import json

import msgspec
import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer
from typer.testing import CliRunner

import noctule
from analytics.atlas import night_steps, write_step
from analytics.fields import fields_at
from analytics.knowledge import learn_from
from analytics.provenance import provenance
from analytics.release import coarsen
from analytics.surroundings import surroundings
from dashboard.figures import _source
from dashboard.probe import Probe, _shares
from sensors.city import City
from sensors.errors import ExportError
from sensors.light_survey import Terms, save_survey
from sensors.night import Night
from sensors.reading import empty_records
from tests.synthetic_city import CRS, SOUTH, WEST, make_city
from tests.unit.test_layers import TERMS, a_step, expected_on

META = {
    "model": "m", "places": "p", "settings": "s", "code": "c", "simulated": False, "attribution": [],
    "written": "2026-11-20T21:00:00.000Z", "records": 1, "cut": "2026-11-20T20:20:00.000Z",
}  # fmt: skip


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> tuple[City, Night, xr.Dataset]:
    """A surveyed town with one closed step, in which three sorts of real sensors spoke."""
    city = make_city(tmp_path_factory.mktemp("town"), simulated=False)
    around = surroundings(city)
    survey: Terms = msgspec.structs.replace(TERMS, first="2025-11-20", last="2025-11-20")
    save_survey(city, survey, expected_on(around, 1.0, time=np.datetime64("2025-11-20T20:00", "ms")))
    night = Night.named("2026-11-20", city.zone)
    step = night_steps(city, night)[8]
    surveyed = surroundings(city)
    page = fields_at(surveyed, learn_from([], surveyed), a_step(surveyed), step)
    write_step(city, night, page, META)
    return city, night, page


def lonlat(east: float, north: float) -> tuple[float, float]:
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(WEST + east, SOUTH + north)


def test_a_place_says_what_it_rests_on(closed):
    city, night, page = closed
    found = provenance(city, night, None, *lonlat(161, 161))
    assert (found.easting, found.northing) == (WEST + 165, SOUTH + 165)
    for name, here in found.fields.items():
        assert here.measured + here.modelled + here.simulated == 100
        assert here.measured == page[f"{name}_measured"].values[0, 16, 16]
        assert here.nearest_m == pytest.approx(float(page[f"{name}_nearest"].values[0, 16, 16]), abs=0.5)
    assert found.fields["footfall"].measured > 40  # a counter stands beside
    (survey,) = found.surveys
    assert survey.age_days == 365 and survey.distance_m < 10 and survey.plane == "horizontal"
    assert "365 days before" in found.text() and "measured" in found.text()


def test_a_place_off_the_map_or_a_step_not_closed_is_refused(closed):
    city, night, _ = closed
    with pytest.raises(ExportError, match="outside the map"):
        provenance(city, night, None, *lonlat(9000, 0))
    with pytest.raises(ExportError, match="is not closed"):
        provenance(city, night, night_steps(city, night)[0], *lonlat(160, 160))


def test_the_command_answers_for_machines(closed):
    city, _, _ = closed
    longitude, latitude = lonlat(160, 160)
    run = CliRunner().invoke(noctule.app, ["provenance", str(city.path), "--at", f"{latitude},{longitude}", "--json"])
    told = json.loads(run.stdout)
    assert set(told) == {"step", "easting", "northing", "support_m", "fields", "surveys", "layers"}
    assert set(told["fields"]) == {"illuminance", "noise", "footfall"}
    assert CliRunner().invoke(noctule.app, ["provenance", str(city.path), "--at", "here"]).exit_code == 2


def test_the_public_level_has_the_mean_of_the_shares(closed):
    city, _, page = closed
    coarse = coarsen(page, city)
    assert coarse.noise_measured.dtype == np.uint8
    assert coarse.noise_measured.values.mean() == pytest.approx(page.noise_measured.values.mean(), abs=12)
    assert coarse.noise_measured.values.max() <= page.noise_measured.values.max()


def test_a_click_says_the_shares():
    shares = _shares("noise", {"noise_measured": 62.0, "noise_simulated": 0.0})
    assert shares == {"measured": 62, "modelled": 38}
    assert _shares("noise", {}) == {}  # a page from before they were kept
    said = _source(Probe("noise", 24.9, 60.1, "value", nearest_m=120.0, shares=shares), str_words)
    assert said.startswith("origin.measured 62\u202f%, origin.modelled 38\u202f%")


class _Words:
    def __call__(self, name: str, **values: object) -> str:
        return name

    def significant(self, value: float) -> str:
        return f"{value:.0f}"


str_words = _Words()


def test_pages_without_shares_are_told(tmp_path):
    city = make_city(tmp_path / "town", simulated=False)
    around = surroundings(city)
    night = Night.named("2026-11-20", city.zone)
    page = fields_at(around, learn_from([], around), empty_records(0), night_steps(city, night)[8])
    names = [name for name in page if not str(name).endswith(("_measured", "_simulated"))]
    write_step(city, night, page[names], META)
    with pytest.raises(ExportError, match="do not say what is measured"):
        provenance(city, night, None, *lonlat(160, 160))
