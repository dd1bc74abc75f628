"""The commands of the room `dashboard`; nothing but typer is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dashboard.accounts import Accounts
    from dashboard.desk import Desk

account_app = typer.Typer(help="Who may sign in, as what, and what was done.", no_args_is_help=True)

_City = Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The account: letters a-z, digits and . _ @ + -")]
_Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from the first line of standard input.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
    app.command("serve")(serve)
    app.add_typer(account_app, name="account")


def serve(
    context: typer.Context,
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

    Where people can sign in (docs/sign-in.md), everybody else is public: delayed and coarse. Without sign-in and
    without --demo everyone has one role: viewer on 127.0.0.1, public on any other address.
    """
    from sensors.city import City, review_passed
    from sensors.clock import city_clock
    from sensors.night import night_of

    if warm_only:
        _warm(city)
        return

    here = host in ("127.0.0.1", "localhost", "::1")
    if demo and not here:
        raise typer.BadParameter("the demo's role switch is for this machine only; leave --host at 127.0.0.1")
    opened = City.open(city)
    opened.require_places()
    if review_passed(opened.settings, night_of(city_clock(opened.path).now(), opened.zone).date):
        day = opened.settings.purpose.review
        typer.echo(
            f"the purpose was to be reviewed by {day}; set purpose.review in city.toml anew after that", err=True
        )
    # Only now what takes seconds to load: a refusal should come at once.
    from dashboard import workers as answering

    with answering.listen(host, port) as bound:
        from dashboard.app import build

        secret = str(context.obj(city, "oidc_secret")) if context.obj else ""
        application = build(city, switch=demo, role="viewer" if here else "public", here=here, oidc_secret=secret)
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


@account_app.command("add")
def account_add(
    city: _City,
    name: _Name,
    role: Annotated[str, typer.Option(help="public, partner, viewer, planner, researcher or admin.")] = "viewer",
    stdin: _Stdin = False,
) -> None:
    """Let somebody sign in with a password, which is asked for twice and never an argument.

    Example: noctule account add helsinki anna --role planner
    """
    from dashboard.accounts import known_role, plain_name

    accounts, _ = _accounts(city)
    known_role(role)  # refused before a password is asked for
    plain = plain_name(name)
    accounts.add(plain, role, _password(stdin))
    print(f"{plain} may sign in as {role}.")


@account_app.command("list")
def account_list(city: _City, as_json: _Json = False) -> None:
    """The accounts of a city, with roles and how many sessions are open.

    Example: noctule account list helsinki
    """
    import json

    accounts, _ = _accounts(city)
    rows = accounts.rows()
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print("There are no accounts; 'noctule account add' makes one.")
    for row in rows:
        state = "disabled" if row["disabled"] else f"{row['sessions']} sessions"
        print(f"{row['name']:<24} {row['role']:<11} {state:<12} changed {row['changed']}")


@account_app.command("role")
def account_role(
    city: _City, name: _Name, role: Annotated[str, typer.Argument(metavar="ROLE", help="The new role.")]
) -> None:
    """Change what an account may; it is signed out everywhere.

    Example: noctule account role helsinki anna researcher
    """
    accounts, _ = _accounts(city)
    accounts.set_role(name, role)
    print(f"{name} is {role} now, and signed out everywhere.")


@account_app.command("password")
def account_password(city: _City, name: _Name, stdin: _Stdin = False) -> None:
    """Set a new password; the account is signed out everywhere.

    Example: noctule account password helsinki anna
    """
    accounts, _ = _accounts(city)
    accounts.set_password(name, _password(stdin))
    print(f"{name} has a new password, and is signed out everywhere.")


@account_app.command("disable")
def account_disable(
    city: _City, name: _Name, again: Annotated[bool, typer.Option("--again", help="Let the account in again.")] = False
) -> None:
    """Let an account in no more; it is signed out everywhere. With --again the opposite.

    Example: noctule account disable helsinki anna
    """
    accounts, _ = _accounts(city)
    accounts.disable(name, not again)
    print(f"{name} may sign in again." if again else f"{name} is disabled, and signed out everywhere.")


@account_app.command("remove")
def account_remove(city: _City, name: _Name) -> None:
    """Forget an account; its lines in the audit trail stay.

    Example: noctule account remove helsinki anna
    """
    accounts, _ = _accounts(city)
    accounts.remove(name)
    left = "" if accounts.rows() else " No account is left: where nobody else signs in, everyone has one role again."
    print(f"{name} is removed.{left}")


@account_app.command("sign-out")
def account_sign_out(city: _City, name: Annotated[str, typer.Argument(metavar="NAME", help="Whom.")]) -> None:
    """End every session of a name, also of one that came by the OpenID provider.

    Example: noctule account sign-out helsinki anna
    """
    from dashboard.accounts import WAY
    from dashboard.audit import audit
    from dashboard.sessions import Sessions
    from sensors.city import City

    _, desk = _accounts(city)
    sessions = Sessions(desk, City.open(city).settings.sign_in)
    # A provider's names are kept as it writes them, an account's in lower case.
    ended = sessions.close_all(name.strip().lower(), WAY) + sessions.close_all(name, "oidc")
    audit(desk, "command line", "sessions ended", f"{name}, {ended}")
    print(f"{ended} sessions of {name} ended.")


@account_app.command("audit")
def account_audit(
    city: _City,
    since: Annotated[str, typer.Option(metavar="DATE", help="From that day on, UTC.")] = "",
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many lines at most.")] = 1000,
    purge_before: Annotated[
        str, typer.Option(metavar="DATE", help="Delete what is older, as the retention says; at least 30 days old.")
    ] = "",
    as_json: _Json = False,
) -> None:
    """Who did what, as what, and when: sign-ins, refusals, exports, decisions, changes of accounts.

    Example: noctule account audit helsinki --since 2026-11-01
    """
    import json

    from dashboard.audit import purge, trail

    _, desk = _accounts(city)
    if purge_before:
        print(f"{purge(desk, purge_before)} lines from before {purge_before} are deleted; a line says so.")
        return
    lines = trail(desk, since, last)
    if as_json:
        print(json.dumps(lines, ensure_ascii=False))
        return
    for line in lines:
        print(f"{line['time']}  {line['who'] or '-':<20} {line['role'] or '-':<11} {line['what']}  {line['detail']}")


def _accounts(path: Path) -> tuple[Accounts, Desk]:
    from dashboard.accounts import Accounts, sign_in_desk
    from sensors.city import City

    desk = sign_in_desk(City.open(path))
    return Accounts(desk), desk


def _password(stdin: bool) -> str:
    """From standard input or a terminal; never from the command line, which other people of the machine can read."""
    import sys
    from getpass import getpass

    from sensors.errors import AccountError

    if stdin:
        return sys.stdin.readline(2000).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccountError("there is no terminal to ask for the password; give it on standard input with --stdin")
    first = getpass("Password: ")
    if getpass("The same once more: ") != first:
        raise AccountError("the two passwords differ; nothing was changed")
    return first
