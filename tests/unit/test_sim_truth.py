import gzip
import json
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.lamps import DEAD_SHARE
from firmware_sim.noise import heard, mean_level
from firmware_sim.streams import stream
from firmware_sim.town import Town
from firmware_sim.truth import FATES, LATE, LOST, Instruments, NightTruth, write_truth
from sensors.city import City
from sensors.errors import CityError
from sensors.night import Night
from sensors.places import save_place
from sensors.quantities import QUANTITIES
from tests.synthetic_city import make_city

FRIDAY = date(2026, 11, 20)


def truth_of(city: City, seed: int, day: date = FRIDAY) -> NightTruth:
    town = Town.of(city, seed)
    return NightTruth.of(town, Instruments.of(town), Night(day, city.zone))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def truth(city: City) -> NightTruth:
    return truth_of(city, 1)


def rows_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_one_seed_gives_one_truth_file_byte_for_byte(city: City, truth: NightTruth, tmp_path: Path) -> None:
    for name, made in (("a", truth), ("b", truth_of(City.open(city.path), 1))):
        write_truth(tmp_path / f"{name}.jsonl.gz", made, made.plan())
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_another_seed_or_night_gives_another_truth(city: City, truth: NightTruth) -> None:
    other_seed, other_night = truth_of(city, 2), truth_of(city, 1, date(2026, 11, 21))
    assert not np.array_equal(truth.flow, other_seed.flow)
    assert not np.array_equal(truth.flow, other_night.flow)
    assert len({truth.boot, other_seed.boot, other_night.boot}) == 3  # so that no message number means two messages


def test_streams_of_different_names_and_nights_are_unrelated() -> None:
    draws = [stream(1, "a").random(), stream(1, "b").random(), stream(2, "a").random(), stream(1, "a", FRIDAY).random()]
    assert len(set(draws)) == 4


def test_every_fault_is_labelled_in_the_file_and_silences_or_fails_its_lamp(truth: NightTruth, tmp_path: Path) -> None:
    plan = truth.plan()
    file = tmp_path / "truth.jsonl.gz"
    write_truth(file, truth, plan)
    faults = [row for row in rows_of(file) if row["kind"] == "fault"]
    kinds = Counter(fault["fault"] for fault in faults)
    lamps = truth.lamps.lamps
    assert kinds["dead-lamp"] == max(1, round(DEAD_SHARE * len(lamps.ids)))
    assert kinds["cabinet-outage"] == 1  # a Friday
    dead = {str(fault["device"]) for fault in faults if fault["fault"] == "dead-lamp"}
    reported = {
        (row["device"], row["value"])
        for row in rows_of(file)
        if row["kind"] == "reading" and row["quantity"] == "lamp_ok"
    }
    for lamp in dead:
        assert (f"node-{lamp}", 0) in reported and (f"node-{lamp}", 1) not in reported
    outage = next(fault for fault in truth.lamps.faults if fault.kind == "cabinet-outage")
    dark = {f"node-{lamp}" for lamp in lamps.ids[lamps.cabinet == outage.device]}
    devices = np.array(truth.instruments.fleet.devices)[plan["device"]]
    during = (plan["time"] >= outage.start_ms) & (plan["time"] < outage.end_ms)
    assert not set(devices[during]) & dark
    assert set(devices[~during]) >= dark


def test_light_of_a_dead_or_unpowered_lamp_is_gone(truth: NightTruth) -> None:
    night, lamps = truth.lamps, truth.lamps.lamps
    row = np.arange(len(lamps.ids))
    at_midnight = np.full(len(row), int(truth.night.at(24).astype(np.int64)))
    whole = night.burning(row, at_midnight) & night.powered(row, at_midnight)
    output = night.output(row, at_midnight)
    assert (output[~whole] == 0).all() and not whole.all()
    expected = np.where(night.stuck[whole], 1.0, 0.7)  # city.toml: 0.7 from 23:00
    assert np.allclose(output[whole], expected)


def test_lamps_burn_only_in_the_dark(truth: NightTruth) -> None:
    row = np.arange(len(truth.lamps.lamps.ids))
    noon = np.full(len(row), int(truth.night.start.astype(np.int64)))
    assert (truth.lamps.output(row, noon) == 0).all()


def test_each_message_of_a_device_has_its_own_number(truth: NightTruth) -> None:
    plan = truth.plan()
    assert len(np.unique(plan[["device", "seq"]])) == len(plan)
    assert len(np.unique(plan[["site", "time"]])) == len(plan)


def test_messages_leave_after_their_interval_and_only_late_ones_minutes_after(truth: NightTruth) -> None:
    plan = truth.plan()
    delay_s = (plan["due"] - plan["time"]) / 1000
    assert (np.diff(plan["due"]) >= 0).all()
    assert delay_s.min() >= 0
    assert delay_s[plan["fate"] != LATE].max() < 60 < np.median(delay_s[plan["fate"] == LATE])


def test_fates_come_in_their_shares(truth: NightTruth) -> None:
    share = np.bincount(truth.plan()["fate"], minlength=len(FATES)) / len(truth.plan())
    assert share[LOST] == pytest.approx(0.005, abs=0.003)
    assert share[LATE] == pytest.approx(0.01, abs=0.004)


def test_a_later_night_is_appended_and_still_one_file(city: City, truth: NightTruth, tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl.gz"
    saturday = truth_of(city, 1, date(2026, 11, 21))
    write_truth(file, truth, truth.plan())
    write_truth(file, saturday, saturday.plan(), append=True)
    assert [row["night"] for row in rows_of(file) if row["kind"] == "night"] == ["2026-11-20", "2026-11-21"]


def test_nights_of_the_changed_clock_have_their_real_hours(city: City) -> None:
    for day, steps in ((date(2026, 3, 28), 23 * 12), (date(2026, 10, 24), 25 * 12)):
        truth = truth_of(city, 1, day)
        assert truth.flow.shape[1] == steps
        assert truth.plan()["due"].size > 0


def test_two_equal_halves_mean_their_level_in_energy() -> None:
    assert mean_level(np.array([[50.0, 60.0]]), 2)[0, 0] == pytest.approx(57.40, abs=0.005)


def test_a_meter_never_hears_less_than_its_own_noise() -> None:
    assert heard(np.array([0.0]), np.array([0.0]))[0] == pytest.approx(33.0, abs=0.01)
    assert heard(np.array([150.0]), np.array([0.0]))[0] == 120.0


def test_a_city_not_declared_simulated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CityError, match="simulated = true"):
        Instruments.of(Town.of(make_city(tmp_path / "real", simulated=False), 1))


@pytest.mark.parametrize("quantity", ["people_flow", "sound_laeq", "illuminance", "dimming"])
def test_sites_with_recorded_history_are_not_played(tmp_path: Path, quantity: str) -> None:
    city = make_city(tmp_path / "town")
    sites = city.places("sites").copy()
    sites.loc[sites["quantity"] == quantity, "origin"] = "recorded"
    save_place(city.path, "sites", sites)
    truth = truth_of(City.open(city.path), 1)
    plan = truth.plan()
    assert QUANTITIES[quantity].code not in plan["quantity"]
    assert len(np.unique(plan["quantity"])) == 4  # the other quantities of the town
    write_truth(tmp_path / "truth.jsonl", truth, plan)


def test_the_truth_says_that_safety_is_invented(truth: NightTruth, tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl.gz"
    write_truth(file, truth, truth.plan())
    rows = rows_of(file)
    assert "INVENTED" in str(rows[0]["warning"])
    places = [row for row in rows if row["kind"] == "place"]
    assert len(places) > 50
    assert all(0 < share < 1 for row in places for share in row["safety"])  # type: ignore[attr-defined]
