"""The one command: composes the rooms' commands and supervises their processes.

Only this file reads NOCTULE_* from the environment; secrets come from there or from `secrets.toml` (mode 0600) beside
`city.toml`, never from settings. `demo` and `run` start one process a part and restart a part that fails; only they
write the city's clock.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
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

from sensors.errors import BrokerError, NoctuleError, StoreError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from sensors.city import City
    from sensors.night import Night

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")
DEMO_NIGHT = "2026-11-20"  # a Friday in November, so that it is dark all night and the bars are full
DEMO_WEEKS = 8
DEMO_ANSWERS = 1_700
_EXAMPLES = Path(__file__).parent / "analytics" / "scenarios"  # two plans, so that the Plan page shows its work
_RESTARTS = 5
_STOP_WAIT_S = 10.0
_READY_WAIT_S = 60.0

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
    try:
        app()
    except NoctuleError as refusal:
        print(f"noctule: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


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
    if not prepare_only:
        _require_free(port)
    prepared, night = _prepare(city, date, folder, seed)
    if prepare_only:
        return
    _live(prepared, night, folder, speed, port, broker, nights, seed)


@app.command("run")
def run(
    city: Annotated[Path, typer.Argument(metavar="CITY", help="The city folder.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the dashboard answers.")] = 8050,
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    broker: Annotated[str, typer.Option(help="mqtt://host:port; city.toml's when empty.")] = "",
) -> None:
    """The service: ingest, mapper and dashboard of one city, each restarted if it fails.

    Example: noctule run helsinki
    """
    from sensors.city import City

    opened = City.open(city)
    _require_free(port, host)
    address = broker or opened.settings.broker.url
    print(f"broker      {address}")
    with _Parts(opened.path) as parts:
        parts.start("ingest", ["ingest", str(opened.path), "--broker", address])
        parts.start("mapper", ["map", str(opened.path)])
        parts.start("dashboard", ["serve", str(opened.path), "--port", str(port), "--host", host])
        print(f"map         http://{host}:{port}/  (Ctrl-C stops everything)", flush=True)
        parts.watch()


# ---------------------------------------------------------------------------------------------- setting a demo up


def _prepare(city: str, date: str, folder: Path, seed: int) -> tuple[Path, Night]:
    """A city folder with eight past weeks in it and a fitted model, made once and kept."""
    import json

    from sensors.city import City

    source = None if city == "helsinki" else City.open(city)
    history = None if source is None else source.path / "history" / "history.toml"
    recorded = history is not None and history.is_file()
    prepared = folder / "prepared" / (source.id if source else "helsinki")
    stamp = prepared / "store" / "prepared.json"
    night_name = date or (_last_recorded_friday(source) if recorded and source else DEMO_NIGHT)
    wanted = {"night": night_name, "seed": seed, "source": str(source.path.resolve()) if source else "helsinki"}
    if stamp.is_file() and json.loads(stamp.read_text("utf-8")) == wanted:
        print(f"set-up      {prepared} stands from an earlier run")
        return prepared, _night(City.open(prepared), night_name)
    _set_up(prepared, source, night_name, seed, recorded=recorded)
    stamp.write_text(json.dumps(wanted), "utf-8")
    return prepared, _night(City.open(prepared), night_name)


def _set_up(prepared: Path, source: City | None, night_name: str, seed: int, *, recorded: bool) -> None:
    import shutil
    import tempfile

    shutil.rmtree(prepared, ignore_errors=True)
    prepared.parent.mkdir(parents=True, exist_ok=True)
    what = "counts recorded, the rest simulated" if recorded else f"and {DEMO_WEEKS} weeks before it, all simulated"
    print(f"set-up      {prepared}: the night of {night_name}, {what}", flush=True)
    if source is None:
        _step("city", ["city", "build", str(prepared), "--osm", "helsinki"])
    else:
        shutil.copytree(source.path, prepared, ignore=shutil.ignore_patterns("store"))
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
    previous = _night(_opened(prepared), night_name).previous()
    _step("last night", ["replay", city_folder, "--from", previous.previous().name, "--to", previous.name, "--write"])


def _opened(path: Path) -> City:
    from sensors.city import City

    return City.open(path)


def _night(city: City, name: str) -> Night:
    from sensors.night import Night

    try:
        return Night.named(name, city.zone)
    except ValueError:
        raise typer.BadParameter(f"date '{name}' must be a day like {DEMO_NIGHT}") from None


def _recorded_history(city: Path) -> tuple[Path, str]:
    """The counts that `city build` laid beside the places, and the recipe that reads them."""
    import tomllib

    content = tomllib.loads((city / "history" / "history.toml").read_text("utf-8"))
    return city / "history" / str(content["file"]), str(content["recipe"])


def _last_recorded_friday(city: City) -> str:
    import tomllib

    content = tomllib.loads((city.path / "history" / "history.toml").read_text("utf-8"))
    return str(content["demo_night"])


def _step(name: str, arguments: Sequence[str]) -> None:
    """One command of set-up, through the same door as anyone's, with one line for it."""
    import subprocess
    import time

    start = time.monotonic()
    done = subprocess.run(_command(arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StoreError(f"set-up stopped at 'noctule {' '.join(arguments)}':\n{(done.stderr or done.stdout).strip()}")
    lines = [line for line in done.stdout.strip().splitlines() if line.strip()]
    said = lines[-1].strip() if lines else "done"
    print(f"  {name:<10}{said[:120]} ({time.monotonic() - start:.0f} s)", flush=True)


# --------------------------------------------------------------------------------------------------- living a night


def _live(
    prepared: Path, night: Night, folder: Path, speed: float, port: int, broker: str, nights: int, seed: int
) -> None:
    import shutil
    import time

    from sensors.clock import clear_clock, set_clock

    started = time.monotonic()
    # The night is lived in a copy, so that the demo can begin again with the past as it was prepared.
    tonight = folder / "tonight" / prepared.name
    shutil.rmtree(tonight, ignore_errors=True)
    shutil.copytree(prepared, tonight)
    city = _opened(tonight)
    recorded = (tonight / "history" / "history.toml").is_file()
    wanted = nights or (2 if recorded else 1)
    window = city.settings.night
    print(
        f"night       {night.date:%A %d %B %Y}, {window.from_} to {window.to} {city.settings.zone}, {speed:g}x as fast"
    )
    with _broker_at(broker, tonight / "store" / "run") as address, _Parts(tonight) as parts:
        print(f"broker      {address}" + ("" if broker else " (embedded)"), flush=True)
        set_clock(tonight, night.time_of(window.from_), speed)
        try:
            path = str(tonight)
            parts.start("ingest", ["ingest", path, "--broker", address])
            parts.start("mapper", ["map", path])
            parts.start("dashboard", ["serve", path, "--port", str(port), "--demo"])
            # A broker drops what is published before the first subscription exists.
            parts.wait_until(lambda: _ingest_connected(tonight), "ingest to reach the broker")
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
            for number in range(wanted):
                parts.watch(tonight, night.time_of(window.to))
                if not parts.running:
                    return
                print(f"night       {night.name} is over", flush=True)
                night = night.next()
                if number < wanted - 1:
                    set_clock(tonight, night.time_of(window.from_), speed)
                    print(f"night       {night.date:%A %d %B %Y} begins", flush=True)
            print("            the map stays open; Ctrl-C stops everything", flush=True)
            parts.watch()
        finally:
            parts.stop()  # before the clock goes back to the system's: a part must not see another year
            clear_clock(tonight)


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


def _ingest_connected(city: Path) -> bool:
    from ingest.health import read_health

    return bool(read_health(_opened(city)).get("state") == "connected")


class _Parts:
    """The processes of a city: started, watched, restarted when they fail, stopped together."""

    def __init__(self, city_path: Path) -> None:
        self._logs = city_path / "store" / "run"
        self._parts: dict[str, tuple[list[str], subprocess.Popen[bytes], int]] = {}
        self.running = True

    def __enter__(self) -> _Parts:
        import signal

        self._logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_asked)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, arguments: list[str], restarts: int = 0) -> None:
        """Start a part; its output goes to store/run/NAME.log."""
        import subprocess

        with open(self._logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                _command(arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._parts[name] = (arguments, process, restarts)
        if not restarts:
            print(f"{name:<12}process {process.pid}, {self._logs / f'{name}.log'}", flush=True)

    def look(self) -> None:
        """Restart what failed; say what ended."""
        for name, (arguments, process, restarts) in list(self._parts.items()):
            code = process.poll()
            if code is None:
                continue
            if code == 0:
                del self._parts[name]
                continue
            last = self._last_words(name)
            if restarts >= _RESTARTS:
                self.stop()
                raise StoreError(f"{name} failed {restarts + 1} times, last with: {last}")
            print(f"{name:<12}ended with {code} ({last}); started again", flush=True)
            self.start(name, arguments, restarts + 1)

    def wait_until(self, ready: Callable[[], bool], what: str) -> bool:
        """Look after the parts until something is ready; after a minute say what is missing and go on without."""
        import time

        deadline = time.monotonic() + _READY_WAIT_S
        while self.running:
            if ready():
                return True
            if time.monotonic() > deadline:
                print(f"            still waiting for {what}; see {self._logs}", flush=True)
                break
            self.look()
            time.sleep(0.05)
        return False

    def watch(self, city_path: Path | None = None, until: np.datetime64 | None = None) -> None:
        """Look after the parts until asked to stop, or until it is that time in the city."""
        import time

        from sensors.clock import city_clock

        clock = None if city_path is None else city_clock(city_path)
        while self.running:
            if clock is not None and until is not None and clock.now() >= until:
                return
            self.look()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop every part, devices first and ingest last, so that what was sent is also kept."""
        import signal
        import subprocess

        self.running = False
        order = sorted(self._parts, key=lambda name: ("devices", "counts", "dashboard", "mapper", "ingest").index(name))
        for name in order:
            process = self._parts.pop(name)[1]
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                print(f"{name:<12}did not stop within {_STOP_WAIT_S:.0f} s and was ended", flush=True)
                process.kill()
                process.wait()

    def _stop_asked(self, *_: object) -> None:
        if self.running:
            print("\nstopping", flush=True)
        self.running = False

    def _last_words(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "no word"


@contextmanager
def _broker_at(given: str, directory: Path) -> Iterator[str]:
    """The address of the broker that is used: the given one, or one of our own that ends with us."""
    if given:
        yield given
        return
    from ingest.broker import start_embedded

    broker = start_embedded(_free_port(), directory)
    try:
        yield broker.url
    finally:
        broker.stop()


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "noctule", *arguments]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
