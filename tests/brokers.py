"""Real mosquittos for tests: with the settings that we ship, with its own defaults, and behind accounts and TLS."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.acl import access_list
from sensors.city import City
from tests.shared_data import ROOT

DEPLOY = ROOT / "ingest" / "deploy"
needs_mosquitto = [
    pytest.mark.broker,
    pytest.mark.skipif(
        shutil.which("mosquitto") is None or shutil.which("mosquitto_passwd") is None,
        reason="Debian's mosquitto (apt install mosquitto) is not here",
    ),
]
_PATIENCE_S = 30.0


class Mosquitto:
    """A running mosquitto; `restart` ends it as a service manager would, and starts it again on its files."""

    def __init__(self, configuration: Path, port: int, scheme: str = "mqtt") -> None:
        self.configuration = configuration
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Returns once it accepts connections."""
        log = self.configuration.with_suffix(".log")
        with open(log, "ab") as said:
            self.process = subprocess.Popen(["mosquitto", "-c", str(self.configuration)], stdout=said, stderr=said)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, f"mosquitto refuses to start:\n{log.read_text()}"
                assert time.monotonic() < deadline, "mosquitto does not answer"
                time.sleep(0.02)

    def said(self) -> str:
        """What it wrote to its log."""
        return self.configuration.with_suffix(".log").read_text("utf-8", "replace")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: it saves its sessions; SIGKILL: it does not."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(_PATIENCE_S)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and start it on what it saved."""
        self.end(how)
        self.start()


@contextmanager
def stock(folder: Path, more: str = "") -> Iterator[Mosquitto]:
    """Mosquitto's own defaults, on loopback and for anybody."""
    yield from _run(folder, f"listener {{port}} 127.0.0.1\nallow_anonymous true\nsys_interval 1\n{more}")


@contextmanager
def trial(folder: Path, more: str = "") -> Iterator[Mosquitto]:
    """The settings that we ship for trying things out."""
    shipped = (DEPLOY / "mosquitto-trial.conf").read_text("utf-8").replace("sys_interval 10", "sys_interval 1")
    yield from _run(folder, shipped.replace("listener 1883 127", "listener {port} 127") + more)


@contextmanager
def secured(
    folder: Path,
    city: City,
    accounts: Mapping[str, str],
    *,
    certificates: Path | None = None,
    by_certificate: bool = False,
    more: str = "",
) -> Iterator[Mosquitto]:
    """The settings that we ship for a city, with its access list.

    accounts : name and password of each
    certificates : folder with ca.crt, server.crt and server.key for TLS; without it the same rules hold in the clear
    by_certificate : clients show a certificate instead of a password
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "noctule.acl").write_text(access_list(city), "utf-8")
    passwords = folder / "noctule.passwd"
    passwords.write_text("".join(f"{name}:{password}\n" for name, password in accounts.items()), "utf-8")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    shipped = (DEPLOY / "mosquitto.conf").read_text("utf-8").replace("sys_interval 10", "sys_interval 1")
    shipped = shipped.replace("listener 8883", "listener {port} 127.0.0.1")
    if certificates is None:
        shipped = "".join(
            line
            for line in shipped.splitlines(keepends=True)
            if not line.startswith(("cafile", "certfile", "keyfile", "tls_version"))
        )
    else:
        shipped = shipped.replace("/etc/mosquitto/certs/", f"{certificates}/")
    if by_certificate:
        for option in ("require_certificate", "use_identity_as_username"):
            shipped = shipped.replace(f"#{option}", option)
    shipped = shipped.replace("/etc/mosquitto/", f"{folder}/")
    yield from _run(folder, shipped + more, "mqtt" if certificates is None else "mqtts")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(folder: Path, configuration: str, scheme: str = "mqtt") -> Iterator[Mosquitto]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    text = configuration.replace("{port}", str(port)).replace("/var/lib/mosquitto/", f"{folder}/")
    if os.geteuid() == 0:
        text += "\nuser root\n"  # it would become a user who may not write into the test's folder
    file = folder / "mosquitto.conf"
    file.write_text(text, "utf-8")
    broker = Mosquitto(file, port, scheme)
    try:
        yield broker
    finally:
        broker.end()
