"""The devices at work: they say over MQTT, under the city's clock, what the truth of the night has planned for them.

When the devices start, each sends the last of its reports that is already due, spread over some seconds, so that a map
has data at once; from then on each report leaves when it is due. A message keeps its number (`boot`, `seq`) in every
run of the same seed and night, so a restarted simulator repeats itself and is stored once.

Most devices speak through a handful of gateways; a sample of sensors has connections of its own, with a retained status
and a last will.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firmware_sim.mqtt import Address, Connection, Status
from firmware_sim.town import Town
from firmware_sim.truth import DUPLICATED, LOST, PLAN, Instruments, NightTruth, write_truth
from sensors.city import City
from sensors.clock import Clock, city_clock
from sensors.night import night_of, rfc3339
from sensors.quantities import by_code
from sensors.wire import Sample, encode_pack, encode_status, quantity_topic, status_topic

GATEWAYS = 4
OWN_CONNECTIONS = 24
_TICK_S = 0.05
_ANNOUNCE_S = 2.5  # wall seconds over which a start is spread
_AGAIN_MS = 4_000  # city time between a message and its duplicate
_GATEWAY_IN_FLIGHT, _DEVICE_IN_FLIGHT = 100, 20
_FAREWELL_S = 5.0
Plan = npt.NDArray[np.void]


@dataclass
class Run:
    """What really happened in a run: from when to when in city time, and how many messages."""

    night: str
    seed: int
    started: str
    stopped: str = ""
    due: int = 0  # planned messages whose time came, lost ones and second copies included
    lost: int = 0
    duplicates: int = 0
    published: int = 0
    acknowledged: int = 0
    dropped: int = 0


def simulate(
    city: City,
    *,
    seed: int = 1,
    devices: int | None = None,
    broker: str | None = None,
    password: str = "",
    truth_file: Path | None = None,
    stop: threading.Event,
    say: Callable[[str], None] = print,
) -> Run:
    """Play the city's simulated devices until `stop` is set.

    Parameters
    ----------
    devices : int, optional
        How many devices speak: fewer than the city has leaves lamps out first, more adds controllers 'virtual-...'
        that the city's register does not know, for load.
    broker : str, optional
        mqtt://host:port in place of the city's own.
    password : str
        Of the account `broker.user` of city.toml.
    truth_file : Path, optional
        Where the truth of the night goes, .jsonl or .jsonl.gz; a report of the run is put beside it.
    """
    clock = city_clock(city.path)
    town = Town.of(city, seed)
    account = city.settings.broker
    address = Address.parse(broker or account.url, account.user, password)
    stage = _Stage(city, Instruments.of(town), address, devices)
    night = night_of(clock.now(), city.zone)
    act = _Act(NightTruth.of(town, stage.instruments, night), stage, clock)
    writer = _write_beside(truth_file, act, append=False)
    say(
        f"{len(stage.speaking)} devices, night of {night.name}, seed {seed}, "
        f"broker {stage.address.host}:{stage.address.port}"
    )
    stage.open(act.truth.boot, clock)
    try:
        while not stop.is_set():
            act.tick()
            if clock.now() >= act.truth.night.end:
                writer.join()
                act = _Act(
                    NightTruth.of(town, stage.instruments, night_of(clock.now(), city.zone)), stage, clock, act.run
                )
                writer = _write_beside(truth_file, act, append=True)
            stop.wait(_TICK_S)
        _drain(stage)
    finally:
        stage.close()
    run = stage.tally(act.run)
    run.stopped = rfc3339(clock.now())
    writer.join()
    if truth_file is not None:
        report = truth_file.with_name(truth_file.name + ".run.json")
        report.write_text(json.dumps(asdict(run), indent=1) + "\n", "utf-8")
    return run


class _Stage:
    """The connections, and which device speaks through which."""

    def __init__(self, city: City, instruments: Instruments, address: Address, devices: int | None) -> None:
        self.city, self.instruments, self.address = city, instruments, address
        names = instruments.fleet.devices
        self.sensors = sorted(set(instruments.fleet.sites["device"][instruments.fleet.sites["lamps"] == ""]))
        controllers = [name for name in names if name not in set(self.sensors)]
        self.virtual: dict[str, list[str]] = {}  # controller -> virtual devices that do as it does
        wanted = len(names) if devices is None else devices
        self.speaking = [*self.sensors, *controllers][:wanted]
        for number in range(max(0, wanted - len(names))):
            model = (controllers or names)[number % len(controllers or names)]
            self.virtual.setdefault(model, []).append(f"virtual-{number + 1:05d}")
        self._connections: dict[str, Connection] = {}
        self._gateways: list[Connection] = []

    def open(self, boot: int, clock: Clock) -> None:
        """Start all connections."""
        root, city = self.city.settings.broker.root, self.city.id
        own = [name for name in self.speaking if name in set(self.sensors)][:OWN_CONNECTIONS]
        for name in own:
            now = clock.now_ms()
            status = Status(
                status_topic(root, city, name), encode_status("online", boot, now), encode_status("offline", boot, now)
            )
            self._connections[name] = Connection(
                self.address, f"{root}-{city}-{name}", status=status, in_flight=_DEVICE_IN_FLIGHT
            )
        self._gateways = [
            Connection(self.address, f"{root}-{city}-gateway-{number}", in_flight=_GATEWAY_IN_FLIGHT)
            for number in range(GATEWAYS)
        ]
        others = [name for name in self.speaking if name not in self._connections]
        others += [name for copies in self.virtual.values() for name in copies]
        for number, name in enumerate(others):
            self._connections[name] = self._gateways[number % GATEWAYS]
        for connection in self._distinct():
            connection.start()

    def send(self, device: str, quantity: str, payload: bytes) -> None:
        """Publish for a device, and for the virtual ones that do as it does."""
        for name in (device, *self.virtual.get(device, ())):
            topic = quantity_topic(self.city.settings.broker.root, self.city.id, name, quantity)
            self._connections[name].send(name, topic, payload)

    def pump(self) -> None:
        """Let every connection hand over what waits."""
        for connection in self._distinct():
            connection.pump()

    @property
    def waiting(self) -> int:
        """Messages not yet acknowledged on lines that stand."""
        return sum(connection.waiting for connection in self._distinct() if connection.connected)

    def close(self) -> None:
        """Say goodbye everywhere."""
        for connection in self._distinct():
            connection.farewell()
        for connection in self._distinct():
            connection.join()

    def tally(self, run: Run) -> Run:
        """The run with the connections' numbers."""
        for connection in self._distinct():
            run.published += connection.tally.published
            run.acknowledged += connection.tally.acknowledged
            run.dropped += connection.tally.dropped
        return run

    def _distinct(self) -> list[Connection]:
        return list(
            {id(connection): connection for connection in [*self._connections.values(), *self._gateways]}.values()
        )


class _Act:
    """One night being played: the plan and how far it has got."""

    def __init__(self, truth: NightTruth, stage: _Stage, clock: Clock, run: Run | None = None) -> None:
        self.truth, self.plan = truth, truth.plan()
        self._stage, self._clock = stage, clock
        names = truth.instruments.fleet.devices
        speaks = np.isin(np.array(names), np.array(stage.speaking))
        schedule = with_duplicates(self.plan[speaks[self.plan["device"]]])
        now = clock.now_ms()
        past = schedule["due"] <= now
        # A fresh start announces; a night that follows another goes on with what came due meanwhile.
        held = last_reports(schedule[past]) if run is None else np.flatnonzero(past)
        self._announced, self._announcements = 0, schedule[held]
        self._schedule, self._next = schedule[~past], 0
        self._started = time.monotonic()
        self.run = run or Run(truth.night.name, truth.town.seed, rfc3339(clock.now()))

    def tick(self) -> None:
        """Send all that is due by now."""
        share = min(1.0, (time.monotonic() - self._started) / _ANNOUNCE_S)
        upto = int(share * len(self._announcements))
        self._send(self._announcements[self._announced : upto])
        self._announced = upto
        upto = int(np.searchsorted(self._schedule["due"], self._clock.now_ms(), side="right"))
        if upto > self._next:
            self._send(self._schedule[self._next : upto])
            self._next = upto
        self._stage.pump()

    def _send(self, rows: Plan) -> None:
        names, boot = self.truth.instruments.fleet.devices, self.truth.boot
        for device, _site, quantity, time_ms, duration_s, value, seq, fate, _due in rows.tolist():
            self.run.due += 1
            if fate == LOST:
                self.run.lost += 1
                continue
            self.run.duplicates += fate == _COPY
            name = by_code(quantity).name
            self._stage.send(names[device], name, encode_pack([Sample(name, time_ms, value, duration_s)], boot, seq))


_COPY = 255  # stands in `fate` of a second copy


def with_duplicates(plan: Plan) -> Plan:
    """The plan with a second copy of each duplicated message some seconds after the first, by due time."""
    copies = plan[plan["fate"] == DUPLICATED].copy()
    copies["due"] += _AGAIN_MS
    copies["fate"] = _COPY
    both = np.concatenate([plan, copies]).astype(PLAN)
    return both[np.argsort(both["due"], kind="stable")]


def last_reports(past: Plan) -> npt.NDArray[np.int64]:
    """Rows of the last report of each site among those already due, sensors before lamps; lost ones do not count."""
    rows = np.flatnonzero((past["fate"] != LOST) & (past["fate"] != _COPY))
    order = rows[np.lexsort((past["time"][rows], past["site"][rows]))]
    site = past["site"][order]
    last = np.ones(len(order), bool)
    last[:-1] = site[1:] != site[:-1]
    # Sensors first: there are few of them and each says more than one lamp of hundreds.
    chosen = order[last]
    return chosen[np.lexsort((chosen, past["duration_s"][chosen] == 0))]


def _write_beside(file: Path | None, act: _Act, *, append: bool) -> threading.Thread:
    """Write the truth in the background, so that the devices need not wait for it."""

    def work() -> None:
        if file is not None:
            write_truth(file, act.truth, act.plan, append=append)

    thread = threading.Thread(target=work, name="truth")
    thread.start()
    return thread


def _drain(stage: _Stage) -> None:
    """Let what is under way be acknowledged, for a few seconds at most."""
    until = time.monotonic() + _FAREWELL_S
    while stage.waiting and time.monotonic() < until:
        stage.pump()
        time.sleep(0.01)
