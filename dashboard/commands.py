"""The commands of the room `dashboard`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("serve")(serve)


def serve(
    city: Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it answers.")] = 8050,
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    demo: Annotated[
        bool, typer.Option("--demo", help="Let visitors choose their role; only where no other machine reaches it.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(min=1, max=16, help="Processes that answer; 2 so that one busy with a report holds up nobody."),
    ] = 1,
    warm_only: Annotated[
        bool, typer.Option("--warm-only", help="Draw the basemap for later visitors, and stop.")
    ] = False,
) -> None:
    """Show the city's atlas: the pages Live, Plan, Research, Answers and About, and the answer form where it is open.

    Example: noctule serve helsinki --port 8050 --workers 2

    Without --demo everyone has one role: viewer on 127.0.0.1, public (delayed and coarse) on any other address.
    """
    from sensors.city import City

    if warm_only:
        _warm(city)
        return

    here = host in ("127.0.0.1", "localhost", "::1")
    if demo and not here:
        raise typer.BadParameter("the demo's role switch is for this machine only; leave --host at 127.0.0.1")
    City.open(city).require_places()
    # Only now what takes seconds to load: a refusal should come at once.
    from dashboard import workers as answering

    with answering.listen(host, port) as bound:
        from dashboard.app import build

        application = build(city, switch=demo, role="viewer" if here else "public")
        print(f"map         http://{host}:{port}/", flush=True)
        answering.run(application, bound, workers)


def _warm(city: Path) -> None:
    from dashboard.basemap import Basemap
    from dashboard.runs import Runs
    from sensors.city import City

    opened = City.open(city)
    basemap, runs = Basemap(opened), Runs(opened)
    runs.ground(runs.frame)
    basemap.warm()
    print(f"The basemap of {opened.name} is drawn: {sum(1 for _ in basemap.shelf().rglob('*.png'))} tiles.")
