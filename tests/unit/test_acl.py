"""The access list: who may say what, as text; tests/journeys/test_brokers.py asks a real mosquitto."""

from __future__ import annotations

import numpy as np
import pytest

import ingest.mqtt
from ingest.acl import access_list
from sensors.city import City, DialectRule, read_settings, write_settings
from sensors.errors import CityError
from sensors.places import save_place
from sensors.register import retire_site
from sensors.wire import parse_topic
from tests.shared_data import ROOT
from tests.synthetic_city import make_city


def accounts(text):
    """account -> its lines."""
    found, account = {}, None
    for line in text.splitlines():
        if line.startswith("user "):
            account = line.removeprefix("user ")
            assert account not in found
            found[account] = []
        elif line.startswith(("topic ", "pattern ")):
            found[account].append(line)  # KeyError: a line above the first account holds for everybody
    return found


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("acl") / "town")


def with_rules(city, *rules, user=""):
    settings = read_settings(city.path / "city.toml")
    changed = {"dialects": rules, "broker": type(settings.broker)(user=user)}
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__} | changed
    folder = city.path.parent / f"town-{len(list(city.path.parent.iterdir()))}"
    write_settings(folder, type(settings)(**fields))
    (folder / "places").symlink_to(city.path / "places")
    return City.open(folder)


def test_a_device_may_write_its_own_sites_and_status_and_nothing_else(town):
    sites = town.places("sites")
    listed = accounts(access_list(town))
    assert set(listed) == {"noctule-ingest", *sites.device}
    for device in set(sites.device):
        topics = [parse_topic(line.removeprefix("topic write ")) for line in listed[device]]
        assert {topic.device for topic in topics} == {device}
        own = {name.replace("_", "-") for name in sites.quantity[sites.device == device]}
        assert {topic.leaf for topic in topics} == {*own, "status"}


def test_ingest_reads_the_city_and_writes_only_where_the_doctor_probes(town):
    lines = accounts(access_list(town))["noctule-ingest"]
    assert "topic read noctule/smalltown/+/+" in lines
    assert [line for line in lines if "write" in line] == ["topic readwrite noctule/smalltown/doctor/#"]


def test_only_ingest_reads_what_the_broker_says_of_itself(town):
    listed = accounts(access_list(town))
    assert [account for account, lines in listed.items() if any("$SYS" in line for line in lines)] == ["noctule-ingest"]
    assert [account for account, lines in listed.items() if any("read" in line for line in lines)] == ["noctule-ingest"]


def test_a_retired_device_is_no_longer_let_in(tmp_path):
    city = make_city(tmp_path / "town")
    sites = city.places("sites")
    device = sites.device.iloc[0]
    for site in sites.site[sites.device == device]:
        retire_site(city, int(site), until=np.datetime64("2021-01-01T00:00", "ms"))
    assert device not in accounts(access_list(City.open(city.path)))


def test_a_gateway_writes_for_the_devices_that_the_settings_name_and_they_for_themselves(town):
    rule = DialectRule(
        topic="v3/+/devices/+/up",
        dialect="the-things-stack",
        device_level=4,
        devices={"eui-70b3": "counter-00", "eui-70b4": "counter-01"},
    )
    listed = accounts(access_list(with_rules(town, rule)))
    both = ["topic write v3/+/devices/eui-70b3/up", "topic write v3/+/devices/eui-70b4/up"]
    assert listed["gateway-the-things-stack"] == both
    assert listed["counter-00"][-1] == both[0]
    assert listed["counter-02"][-1] == "topic write noctule/smalltown/counter-02/status"
    assert "topic read v3/+/devices/+/up" in listed["noctule-ingest"]


def test_a_gateway_whose_devices_the_payload_names_writes_the_whole_filter(town):
    listed = accounts(access_list(with_rules(town, DialectRule(topic="meters/#", devices={"m1": "counter-00"}))))
    assert listed["gateway-meters"] == ["topic write meters/#"]
    assert "topic write meters/#" not in listed["counter-00"]


def test_a_rule_for_one_device_opens_its_topic_to_that_device(town):
    listed = accounts(access_list(with_rules(town, DialectRule(topic="old/lux", device="lux-00"))))
    assert listed["lux-00"][-1] == "topic write old/lux"
    assert [account for account in listed if account.startswith("gateway")] == []


def test_two_gateways_of_one_dialect_are_two_accounts(town):
    rules = [DialectRule(topic=f"{hub}/+/up", dialect="chirpstack") for hub in ("north", "south")]
    listed = accounts(access_list(with_rules(town, *rules)))
    assert listed["gateway-chirpstack"] == ["topic write north/+/up"]
    assert listed["gateway-south-up"] == ["topic write south/+/up"]


@pytest.mark.parametrize("topic", ["a/#/b", "a+/b", "", "a\ntopic write #", "a\nuser b", "a\x00b"])
def test_what_is_no_filter_ends_up_in_no_line(town, topic):
    with pytest.raises(CityError, match="is no MQTT filter"):
        access_list(with_rules(town, DialectRule(topic=topic)))


@pytest.mark.parametrize("device", ["+", "a/b", "lux 1", "a\nuser noctule-ingest"])
def test_a_device_whose_name_would_be_more_than_a_level_is_refused(tmp_path, device):
    city = make_city(tmp_path / "town")
    sites = city.places("sites").copy()
    sites.loc[0, "device"] = device
    save_place(city.path, "sites", sites)
    with pytest.raises(CityError, match="cannot be the name of an account"):
        access_list(City.open(city.path))


def test_a_device_named_as_ingest_would_read_everything(town):
    with pytest.raises(CityError, match="also the account of ingest"):
        access_list(with_rules(town, user="lux-00"))


def options(name):
    lines = (ROOT / "ingest" / "deploy" / name).read_text("utf-8").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


# mosquitto.conf(5) of 2.0.11 and of 2.0.18; an option that one of them does not know keeps it from starting.
KNOWN = """
    acl_file allow_anonymous autosave_interval cafile certfile connection_messages keyfile listener log_dest
    log_timestamp_format log_type max_connections max_inflight_messages max_keepalive max_packet_size
    max_queued_bytes max_queued_messages message_size_limit password_file per_listener_settings persistence
    persistence_location persistent_client_expiration queue_qos0_messages retain_available set_tcp_nodelay
    sys_interval tls_version
"""
LIMITS = """
    max_inflight_messages max_queued_messages max_queued_bytes persistence autosave_interval
    persistent_client_expiration queue_qos0_messages max_packet_size message_size_limit max_keepalive retain_available
"""


@pytest.mark.parametrize("name", ["mosquitto.conf", "mosquitto-trial.conf"])
def test_no_option_is_unknown_to_a_mosquitto_in_use(name):
    assert {option for option, _ in options(name)} <= set(KNOWN.split())


def test_what_is_tried_out_has_the_limits_of_what_a_city_runs():
    city, trial = dict(options("mosquitto.conf")), dict(options("mosquitto-trial.conf"))
    assert {limit: trial[limit] for limit in LIMITS.split()} == {limit: city[limit] for limit in LIMITS.split()}


def test_nobody_comes_in_without_an_account_but_from_the_machine_itself():
    city, trial = options("mosquitto.conf"), dict(options("mosquitto-trial.conf"))
    assert ("allow_anonymous", "false") in city
    assert [value for option, value in city if option == "listener"] == ["8883"]
    assert trial["listener"] == "1883 127.0.0.1"


def test_a_packet_that_ingest_reads_passes_the_broker():
    assert int(dict(options("mosquitto.conf"))["max_packet_size"]) >= ingest.mqtt.MAXIMUM_PACKET
