"""/metrics and /healthz: what a machine is told is what ingest last said, and asking holds nobody up."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest import metrics as module
from ingest.metrics import Metrics, parse_listen
from ingest.service import run
from sensors.errors import CityError, StoreError
from tests.shared_data import ROOT
from tests.synthetic_city import make_city

SAID = {
    "state": "connected",
    "sentence": "connected to a test",
    "shard": "1",
    "counts": {"received": 12, "stored": 10, "duplicates": 1, "refused": 3},
    "refused_by_reason": {"the payload is not JSON": 2, "device '…' is \"odd\"\nand\\more": 1},
    "devices_online": 4,
    "holding": False,
    "receiver": "fast",
    "waiting": {"messages": 5, "bytes": 600},
    "disk_free_bytes": 1 << 40,
    "last_received": "2026-11-20T20:00:00.500Z",
}


@pytest.fixture
def metrics():
    served = Metrics("0")
    yield served
    served.close()


def ask(port, path, method="GET"):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def samples(port):
    """(name, labels without shard) -> value, as a Prometheus server reads them."""
    status, headers, body = ask(port, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(value for label, value in sorted(sample.labels.items()) if label != "shard")): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_a_prometheus_server_reads_what_health_says(metrics):
    metrics.publish(SAID)
    found = samples(metrics.port)
    ours = {name.removeprefix("noctule_ingest_"): value for (name, labels), value in found.items() if not labels}
    assert (
        ours
        | {
            "messages_received_total": 12,
            "readings_stored_total": 10,
            "readings_repeated_total": 1,
            "reasons_refused_total": 3,
            "connected": 1,
            "holding": 0,
            "fast_receiver": 1,
            "devices_online": 4,
            "waiting_messages": 5,
            "waiting_bytes": 600,
            "disk_free_bytes": 1 << 40,
            "last_received_timestamp_seconds": 1_795_204_800.5,
        }
        == ours
    )
    for reason, times in SAID["refused_by_reason"].items():
        assert found["noctule_ingest_refused_total", (reason,)] == times


def test_every_count_says_of_which_shard_it_is(metrics):
    metrics.publish(SAID)
    _, _, body = ask(metrics.port, "/metrics")
    own = [line for line in body.splitlines() if line.startswith(tuple(f"noctule_ingest_{n}" for n in ("mes", "con")))]
    assert len([line for line in own if 'shard="1"' in line]) == 2


def test_before_ingest_has_spoken_there_are_no_counts_and_it_is_starting(metrics):
    names = {name for name, _ in samples(metrics.port)}
    assert "process_resident_memory_bytes" in names
    assert not [name for name in names if name.startswith("noctule_ingest_messages")]
    status, _, body = ask(metrics.port, "/healthz")
    assert (status, json.loads(body)["state"]) == (503, "starting")


def test_what_nobody_knows_is_left_out(metrics):
    metrics.publish(SAID | {"last_received": None, "disk_free_bytes": None})
    names = {name for name, _ in samples(metrics.port)}
    assert "noctule_ingest_disk_free_bytes" not in names
    assert "noctule_ingest_last_received_timestamp_seconds" not in names


@pytest.mark.parametrize(("state", "status"), [("connected", 200), ("retrying", 503), ("stopped", 503)])
def test_only_a_connected_ingest_is_healthy(metrics, state, status):
    metrics.publish(SAID | {"state": state, "sentence": "die Brücke"})
    found, headers, body = ask(metrics.port, "/healthz")
    assert found == status
    assert json.loads(body) == {"state": state, "sentence": "die Brücke"}
    assert headers["Cache-Control"] == "no-store"


def test_an_ingest_that_says_nothing_is_stuck(metrics, monkeypatch):
    monkeypatch.setattr(module, "STUCK_S", 0.05)
    metrics.publish(SAID)
    time.sleep(0.1)
    status, _, body = ask(metrics.port, "/healthz")
    assert (status, json.loads(body)["state"]) == (503, "stuck")
    assert "said nothing" in json.loads(body)["sentence"]


def test_other_pages_and_other_verbs_are_refused(metrics):
    assert ask(metrics.port, "/")[0] == 404
    assert ask(metrics.port, "/metrics/../secrets.toml")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = ask(metrics.port, "/metrics", method)
        assert status == 405
        assert headers["Allow"] == "GET, HEAD"
    assert ask(metrics.port, "/healthz", "HEAD")[2] == ""


def test_a_port_in_use_is_refused_in_a_sentence(metrics):
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{metrics.port} \(Address already in use\); choose another"):
        Metrics(str(metrics.port))


def test_who_is_slow_to_ask_keeps_nobody_else_waiting(metrics):
    metrics.publish(SAID)
    slow = [socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(5)]
    try:
        for one in slow:
            one.sendall(b"GET /metr")  # and no more
        began = time.monotonic()
        assert ask(metrics.port, "/healthz")[0] == 200
        assert time.monotonic() - began < module._Quiet.timeout
    finally:
        for one in slow:
            one.close()


def test_it_stops_at_once_however_many_still_ask():
    served = Metrics("0")
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        slow.sendall(b"GET /metr")
        began = time.monotonic()
        served.close()
        assert time.monotonic() - began < module._Quiet.timeout
    with pytest.raises(OSError):
        ask(served.port, "/healthz")


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_without_a_host_only_this_machine_may_ask(address, parsed):
    assert parse_listen(address) == parsed


@pytest.mark.parametrize("address", ["", "here", "127.0.0.1", "127.0.0.1:", "70000", "-1", "٣"])
def test_what_is_no_address_is_refused_in_a_sentence(address):
    with pytest.raises(CityError, match="is no address to listen on; write a port like 9464"):
        parse_listen(address)


def test_a_service_that_runs_publishes(tmp_path, monkeypatch):
    made: list[Metrics] = []

    class Watched(Metrics):
        def __init__(self, address):
            super().__init__(address)
            made.append(self)

    monkeypatch.setattr(module, "Metrics", Watched)
    town = make_city(tmp_path / "town")
    found: dict[str, object] = {}

    def look():
        """Ask from elsewhere, as a Prometheus server does, until the service has spoken."""
        while not stop.is_set():
            if made:
                status, _, body = ask(made[0].port, "/healthz")
                if json.loads(body)["state"] == "retrying":
                    found.update(status=status, said=json.loads(body)["sentence"], metrics=samples(made[0].port))
                    break
            time.sleep(0.02)
        stop.set()

    stop = threading.Event()
    asker = threading.Thread(target=look)
    asker.start()
    deadline = time.monotonic() + 60
    try:
        run(
            town,
            url="mqtt://127.0.0.1:1",
            metrics="127.0.0.1:0",
            until=lambda: stop.is_set() or time.monotonic() > deadline,
        )
    finally:
        stop.set()
        asker.join()
    assert found["status"] == 503
    assert "no broker answers at 127.0.0.1:1" in found["said"]
    assert found["metrics"]["noctule_ingest_connected", ()] == 0
    assert found["metrics"]["noctule_ingest_messages_received_total", ()] == 0
    with pytest.raises(OSError):
        ask(made[0].port, "/healthz")


def test_every_metric_is_in_the_page_on_operations(metrics):
    metrics.publish(SAID)
    _, _, body = ask(metrics.port, "/metrics")
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    names = re.findall(r"^# TYPE (noctule_\w+) ", body, re.MULTILINE)
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in text or name.endswith("_created"), name
