"""Received and acknowledged: our subscriber against stock paho and mosquitto_sub.

    python -m benchmarks.ingest.receive [--messages 1000000] [--repeats 5] [--json]

Each gets the same messages (150 bytes, QoS 1, at most 20,000 in flight) from a broker in C that costs nothing, one
after the other and round again; processor time counts from the first message to the last acknowledgement, and ratios
are those of one round. Then the same behind TLS, one record a message, as mosquitto sends them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.ingest.stand import HERE, WINDOW, Cost, behind_the_fake_broker, end, free_port
from benchmarks.ingest.traffic import write_messages
from benchmarks.verdict import arguments, at_least, middle, report

Command = Callable[[int], Sequence[str]]
# Of the messages, so that a round of each takes some seconds; behind TLS the relay is what takes the time.
SHARE = {"ours": 1.0, "stock paho": 0.03, "mosquitto_sub": 0.2}
GATES = {"stock paho": 25.0, "mosquitto_sub": 5.0}


def main() -> int:
    asked = arguments(__doc__, messages=1_000_000, repeats=5)
    folder = Path(tempfile.mkdtemp(prefix="noctule-bench-"))
    try:
        return report(measure(folder, asked.peers, asked.messages, asked.repeats), asked.json)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, peers: Path, messages: int, repeats: int) -> dict[str, object]:
    plain = rounds(folder, peers, messages, repeats, "")
    tls = rounds(folder, peers, messages // 4, repeats, certificate(folder))
    return {
        "plain": rows(plain),
        "tls": rows(tls) if tls else "left out: there is no openssl to make a certificate",
        "gates": [
            at_least(f"CPU of {name} / ours", ratio(plain, name), bound)
            for name, bound in GATES.items()
            if name in plain
        ],
    }


def rounds(folder: Path, peers: Path, messages: int, repeats: int, authority: str | None) -> dict[str, list[float]]:
    """Microseconds a message, by system and round; `authority` is '' for no TLS, None where there can be none."""
    found: dict[str, list[float]] = {}
    if authority is None:
        return found
    python = [sys.executable, str(HERE / "peers" / "subscriber.py")]
    tls = [authority] if authority else []
    systems: dict[str, Command] = {
        "ours": lambda port: [*python, str(port), "ours", *tls],
        "stock paho": lambda port: [*python, str(port), "stock", *tls],
    }
    if shutil.which("mosquitto_sub"):
        systems["mosquitto_sub"] = lambda port: [
            "mosquitto_sub", "-p", str(port), "-h", "127.0.0.1", "-t", "noctule/#", "-q", "1", "-V", "mqttv5",
            "-D", "CONNECT", "receive-maximum", str(WINDOW), *(["--cafile", authority] if authority else []),
        ]  # fmt: skip
    for _ in range(repeats):
        for name, command in systems.items():
            file = folder / "messages"
            count = write_messages(file, readings(int(messages * SHARE[name])))
            cost = (
                behind_tls(folder, command, file, count, peers)
                if authority
                else behind_the_fake_broker(command, file, count, peers)
            )
            found.setdefault(name, []).append(cost.cpu_us(count))
    return found


def behind_tls(folder: Path, command: Command, file: Path, count: int, peers: Path) -> Cost:
    """As behind the fake broker, with a relay between that speaks TLS."""
    door = free_port()
    relays: list[subprocess.Popen[str]] = []

    def through_relay(port: int) -> Sequence[str]:
        if not relays:
            files = [str(folder / "certificate.pem"), str(folder / "key.pem")]
            relay = [sys.executable, str(HERE / "peers" / "tls_relay.py"), str(door), str(port), *files]
            relays.append(subprocess.Popen(relay, stdout=subprocess.PIPE, text=True))
            assert relays[0].stdout is not None
            assert relays[0].stdout.readline() == "ready\n", "the relay does not start"
        return command(door)

    try:
        return behind_the_fake_broker(through_relay, file, count, peers)
    finally:
        for relay in relays:
            end(relay)


def certificate(folder: Path) -> str | None:
    """A certificate of 127.0.0.1 that is its own authority; None where nothing can make one."""
    if shutil.which("openssl") is None:
        return None
    file = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(file)],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return str(file)


def readings(count: int) -> Iterator[tuple[bytes, bytes]]:
    """(topic, payload) of 150 bytes."""
    for number in range(count):
        head = b'[{"n":"sound_laeq","u":"dB","v":%d.%d,"t":%d,"boot":1,"seq":%d' % (
            40 + number % 50, number % 10, 1_795_204_800 + number, number,
        )  # fmt: skip
        yield b"noctule/town/meter-%06d/sound-laeq" % (number % 5_000), head.ljust(148) + b"}]"


def ratio(found: dict[str, list[float]], name: str) -> float:
    """How many times ours another costs, of one round, so that both had the same neighbours."""
    return middle([theirs / ours for theirs, ours in zip(found[name], found["ours"], strict=True)])


def rows(found: dict[str, list[float]]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "cpu_us_per_message": middle(us),
            "least": min(us),
            "most": max(us),
            "times_ours": ratio(found, name),
        }
        for name, us in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
