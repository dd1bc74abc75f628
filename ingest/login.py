"""How a city's ingest logs in at its broker: the name of its session, and the certificates of `[broker]`.

The broker keeps a shard's queue under the name of its session, and gives it to whoever comes with that name: another
account that connected under it emptied the queue of 100 acknowledged readings, access list or not (measured with
mosquitto 2.0.11: its rules are asked again, and what the newcomer may not read is dropped). So the name ends in
something that only the store knows.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from ingest.mqtt import Tls
from sensors.city import City

_NAME = re.compile(r"[0-9a-f]{16}")


def session_name(city: City, shard: str, open_part: str = "") -> str:
    """The name under which the broker keeps a shard's queue, such as `noctule-helsinki-0.9f2c41d07be85a63`.

    shard : the shard's folder under `store/log/`
    open_part : what the name begins with, where it says more than city and shard

    Its secret part lies in `store/log/<shard>/session`, readable by its owner alone, and is made where it is missing;
    after that the queue of the old name is out of reach.
    """
    open_part = open_part or f"noctule-{city.id}-{shard}"
    file = city.shelf("log", shard, "session")
    with suppress(FileNotFoundError):
        if _NAME.fullmatch(secret := file.read_text("ascii", "replace").strip()):
            return f"{open_part}.{secret}"
    secret = secrets.token_hex(8)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name("session.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(descriptor)
    beside.replace(file)
    return f"{open_part}.{secret}"


def tls_of(city: City) -> Tls:
    """Whom the city's clients believe, and who they are, as `[broker]` of city.toml says."""
    broker = city.settings.broker

    def file(name: str) -> Path | None:
        return city.path / name if name else None

    return Tls(file(broker.authority), file(broker.certificate), file(broker.key))
