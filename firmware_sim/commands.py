"""The commands of the room `firmware_sim`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CityFolder = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
Seed = Annotated[int, typer.Option(min=0, max=65_535, help="One seed, one truth.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("simulate")(simulate)
    app.command("simulate-history")(simulate_history)


def simulate(
    context: typer.Context,
    city: CityFolder,
    devices: Annotated[
        int | None, typer.Option(min=1, help="How many devices speak; more than the city has for load.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=1, max=3600, help="City seconds per second, from now on; without it the city's clock holds."),
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Where the truth goes: .jsonl or .jsonl.gz.")] = None,
    seed: Seed = 1,
    broker: Annotated[str | None, typer.Option(help="mqtt://host:port in place of the city's own broker.")] = None,
) -> None:
    """Play the simulated devices of a city over real MQTT, with labelled faults, until stopped.

    Example: noctule simulate helsinki --truth truth.jsonl.gz
    """
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # before the slow imports: a stop at any moment is a clean one
        signal.signal(number, lambda *_: stop.set())

    from sensors.city import City

    opened = City.open(city)  # before what takes seconds to load: a refusal should come at once
    opened.require_places()
    from firmware_sim.devices import simulate as play
    from firmware_sim.pace import paced

    with paced(city, speed):
        run = play(
            opened,
            seed=seed,
            devices=devices,
            broker=broker,
            password=context.obj(city, "broker_password") if context.obj else "",
            truth_file=truth,
            stop=stop,
            say=lambda line: print(f"simulate: {line}", flush=True),
        )
    print(
        f"simulate: stopped; {run.published} messages published, {run.acknowledged} acknowledged, "
        f"{run.dropped} dropped while the broker was away"
    )


def simulate_history(
    city: CityFolder,
    out: Annotated[Path, typer.Option(help="Folder for counts.csv, noise.csv and answers.csv.")],
    until: Annotated[
        str, typer.Option(metavar="NIGHT", help="The night after the last one, YYYY-MM-DD; today if empty.")
    ] = "",
    weeks: Annotated[int, typer.Option(min=1, max=104, help="How many weeks.")] = 8,
    seed: Seed = 1,
    answers: Annotated[int, typer.Option(min=1, help="How many survey answers.")] = 1600,
) -> None:
    """Past weeks of counts, noise and survey answers from the same truth as the live night.

    Example: noctule simulate-history helsinki --weeks 8 --until 2026-11-20 --out history
    """
    from firmware_sim.history import write_history
    from sensors.city import City
    from sensors.clock import city_clock
    from sensors.night import Night, night_of

    opened = City.open(city)
    try:
        last = Night.named(until, opened.zone) if until else night_of(city_clock(city).now(), opened.zone)
    except ValueError:
        raise typer.BadParameter(f"--until '{until}' must be a night like 2026-11-20") from None
    done = write_history(opened, out, weeks=weeks, until=last, seed=seed, answers=answers)
    print(
        f"{done.nights} nights before {last.name} (SIMULATED): {done.counts} counts, {done.noise} noise levels, "
        f"{done.answers} answers of {done.people} people, in {out}"
    )
