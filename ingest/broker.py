"""A small MQTT 5 broker in a child process, for the demo and for tests; a city runs a real one.

It is rumqttd, from the `iotcore` wheel. Its own defaults refuse MQTT 5, listen on every address and cut payloads at
20,480 bytes, so it is started from a TOML file that says otherwise. It keeps its queues in memory, has no access
rules, and delivers un-acknowledged messages again without the DUP mark.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from iotcore import Broker

from sensors.errors import BrokerError

_CONFIGURATION = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "noctule"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 200
dynamic_filters = true
"""

_IN_USE = "port {port} of 127.0.0.1 is in use ({error}); choose another"


@dataclass
class EmbeddedBroker:
    """A running broker; it ends with `stop` or with the process that started it."""

    broker: Broker
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the child process lives."""
        return self.broker.is_running

    def stop(self) -> None:
        """End it; may be called twice."""
        self.broker.stop()


def start_embedded(port: int, directory: Path) -> EmbeddedBroker:
    """Start a broker on 127.0.0.1 and return once it accepts connections.

    port : a free port
    directory : where its configuration is written (`broker.toml`)
    """
    directory.mkdir(parents=True, exist_ok=True)
    broker = _configured(port, directory)
    try:
        broker.start()
    except OSError as error:
        raise BrokerError(_IN_USE.format(port=port, error=error)) from error
    except RuntimeError as error:
        raise BrokerError(f"the embedded broker did not start: {error}") from error
    return EmbeddedBroker(broker, port)


def serve_embedded(port: int) -> None:
    """Be a broker on 127.0.0.1 in this process, until a signal ends it."""
    # rumqttd tells of every packet at the level of errors.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="noctule-") as directory:
        broker = _configured(port, Path(directory))  # read at once: the file is not needed while it runs
    try:
        broker.run_forever()
    except OSError as error:
        raise BrokerError(_IN_USE.format(port=port, error=error)) from error


def _configured(port: int, directory: Path) -> Broker:
    file = directory / "broker.toml"
    file.write_text(_CONFIGURATION.format(port=port), "utf-8")
    return Broker(config_path=str(file))
