"""How ingest is doing, for machines: /metrics for a Prometheus server, /healthz for whoever restarts processes.

Both are answered by a thread of their own from what the service last said, so that a scrape can hold up no reading.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Histogram, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sensors.errors import CityError, StoreError
from sensors.night import parse_rfc3339

STUCK_S = 10.0  # without a word from the service, which speaks once a second
_COUNTS = {
    "received": ("messages_received", "Messages that the broker handed over, status messages apart."),
    "stored": ("readings_stored", "Readings that are on disk and acknowledged."),
    "duplicates": ("readings_repeated", "Readings that came once more and were not stored twice."),
    "refused": ("reasons_refused", "Reasons for which messages, or records in them, were refused."),
}


class Metrics:
    """Serves what `publish` was last given, until `close`.

    address : PORT or HOST:PORT; without a host only this machine may ask
    """

    def __init__(self, address: str) -> None:
        host, port = parse_listen(address)
        self._said: dict[str, Any] = {}
        self._said_at = time.monotonic()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(_Said(lambda: self._said))
        self.group_messages = Histogram(
            "noctule_ingest_group_messages",
            "Messages that were made durable by one sync.",
            buckets=(1, 8, 64, 512, 4096, 8192),
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "noctule_ingest_commit_seconds",
            "Writing and syncing one group.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=registry,
        )
        self._metrics = make_wsgi_app(registry)
        try:
            self._server = make_server(host, port, self._answer, _Server, _Quiet)
        except OSError as error:
            raise StoreError(
                f"metrics cannot be served on {host}:{port} ({error.strerror}); choose another port"
            ) from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def publish(self, health: dict[str, Any]) -> None:
        """What the service says of itself now."""
        self._said, self._said_at = health, time.monotonic()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")])
            return [b"ask with GET\n"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        if path == "/healthz":
            status, body = self._healthz()
            start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            return [body]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there is /metrics and /healthz\n"]

    def _healthz(self) -> tuple[str, bytes]:
        said, silent_s = self._said, time.monotonic() - self._said_at
        state, sentence = said.get("state", "starting"), said.get("sentence", "starting")
        if silent_s > STUCK_S:
            state, sentence = "stuck", f"ingest has said nothing for {silent_s:.0f} s"
        status = "200 OK" if state == "connected" else "503 Service Unavailable"
        return status, json.dumps({"state": state, "sentence": sentence}, ensure_ascii=False).encode()


class _Said(Collector):
    """The service's own counts, as they were when it last spoke."""

    def __init__(self, said: Callable[[], dict[str, Any]]) -> None:
        self._said = said

    def collect(self) -> Iterator[Metric]:
        """The counts of one shard."""
        said = self._said()
        if not said:
            return
        shard = [str(said["shard"])]
        for key, (name, text) in _COUNTS.items():
            total = CounterMetricFamily(f"noctule_ingest_{name}", text, labels=["shard"])
            total.add_metric(shard, said["counts"][key])
            yield total
        reasons = CounterMetricFamily(
            "noctule_ingest_refused", "Reasons for refusals, by their kind.", labels=["shard", "reason"]
        )
        for reason, times in said["refused_by_reason"].items():
            reasons.add_metric([*shard, reason], times)
        yield reasons
        last = said["last_received"]
        gauges: dict[str, tuple[str, float | None]] = {
            "connected": ("Whether the broker is reached and everything can be stored.", said["state"] == "connected"),
            "holding": ("Whether messages wait because the log cannot be written.", said["holding"]),
            "fast_receiver": ("Whether messages are received by the fast receiver.", said["receiver"] == "fast"),
            "devices_online": ("Devices whose retained status says that they are online.", said["devices_online"]),
            "waiting_messages": ("Messages received and not yet stored.", said["waiting"]["messages"]),
            "waiting_bytes": ("Bytes received and not yet stored.", said["waiting"]["bytes"]),
            "disk_free_bytes": ("Free on the disk of the log.", said["disk_free_bytes"]),
            "last_received_timestamp_seconds": (
                "City time at which the last message came.",
                None if last is None else float(parse_rfc3339(last).astype("M8[ms]").astype(int)) / 1000,
            ),
        }
        for name, (text, value) in gauges.items():
            if value is not None:
                gauge = GaugeMetricFamily(f"noctule_ingest_{name}", text, labels=["shard"])
                gauge.add_metric(shard, float(value))
                yield gauge


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request, so that one that is slow to ask keeps nobody else waiting."""

    daemon_threads = True
    block_on_close = False


class _Quiet(WSGIRequestHandler):
    """No line a request, and none waits for ever on one that says nothing."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def parse_listen(address: str) -> tuple[str, int]:
    """Host and port to listen on.

    >>> parse_listen("9464")
    ('127.0.0.1', 9464)
    """
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise CityError(f"'{address}' is no address to listen on; write a port like 9464, or host:port")
    return host.strip("[]") or "127.0.0.1", int(port)
