"""The commands of the room `ingest`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("ingest")(ingest)
    app.command("health")(health)
    app.command("decode")(decode)


def ingest(
    city: CityFolder,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt:// or mqtts://, instead of city.toml's.")] = "",
    password: Annotated[
        str, typer.Option(envvar="NOCTULE_BROKER_PASSWORD", hidden=True, help="Of broker.user in city.toml.")
    ] = "",
) -> None:
    """Receive readings from the broker and keep each one, until stopped.

    Example: noctule ingest helsinki --broker mqtt://127.0.0.1:1883
    """
    from ingest.service import run
    from sensors.city import City

    run(City.open(city), url=broker, password=password)


def health(
    city: CityFolder,
    as_json: AsJson = False,
    dead: Annotated[bool, typer.Option("--dead", help="List the refused messages, with reasons.")] = False,
) -> None:
    """Is ingest running, which sites are silent, what was refused.

    Example: noctule health helsinki --dead
    """
    import json

    from ingest.health import dead_letters, read_health, site_health
    from sensors.city import City
    from sensors.night import rfc3339

    opened = City.open(city)
    if dead:
        import numpy as np

        for letter in dead_letters(opened):
            received = rfc3339(np.datetime64(letter.received_ms, "ms"))
            payload = letter.payload.decode("utf-8", "backslashreplace")
            if as_json:
                row = {"received": received, "topic": letter.topic, "reason": letter.reason, "payload": payload}
                print(json.dumps(row, ensure_ascii=False))
            else:
                print(f"{received}  {letter.topic}  {letter.reason}\n    {payload[:200]!r}")
        return
    said, sites = read_health(opened), site_health(opened)
    silent = sites[sites["silent"]]
    if as_json:
        said["sites"] = json.loads(sites.to_json(orient="records", date_format="iso"))
        print(json.dumps(said, ensure_ascii=False))
        return
    counts = said["counts"]
    print(f"{opened.name}: {said['state']}, {said['sentence']}")
    print(
        f"  since {said['since'] or 'never'}: {counts['received']} messages received, {counts['stored']} readings "
        f"stored, {counts['duplicates']} came twice, {counts['refused']} refused"
    )
    for reason, times in said["refused_by_reason"].items():
        print(f"  refused {times} times: {reason}")
    print(f"  {len(sites)} sites in use, {len(silent)} silent, {int(sites['late'].sum())} late")
    if len(silent):
        print(silent[["site", "device", "quantity", "last"]].head(40).to_string(index=False))


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The payload; - for standard input.", allow_dash=True)],
    topic: Annotated[str, typer.Option(help="The topic under which it came.")],
    received: Annotated[str, typer.Option(metavar="TIME", help="When it came, RFC 3339; now if left out.")] = "",
    root: Annotated[str, typer.Option(help="First level of our own topics.")] = "noctule",
) -> None:
    """What becomes of a message: one JSON line a measurement or rejection; exit code 1 if all of it was refused.

    Example: noctule decode --topic noctule/helsinki/counter-3/people-flow message.json
    """
    import json
    import sys

    from ingest.decoding import outcomes, received_at

    try:
        received_ms = received_at(received)
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--received") from error
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    lines = outcomes(topic, payload, received_ms, root)
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    if all(line.get("rejected") for line in lines):
        raise typer.Exit(1)
