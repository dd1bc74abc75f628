"""Serves the dashboard from one or several processes that share one listening socket.

With one worker this process answers. With more it loads everything once, forks the workers and answers nothing itself:
a worker that ends is started again, and all end together within two seconds. Whoever is free takes the next
connection, so that a report or an export holds up nobody who asks another worker. What must be the same in each is a
digest (versions), lies on the shelf (accounts, sessions, jobs), or in memory that they share (`allowance.py`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import uvicorn

from dashboard.memory import one_arena
from dashboard.security import Door
from sensors.errors import NoctuleError

_WAITING = 2048  # connections that nobody has taken yet
_LOOK_S = 0.1
_GRACE_S = 1  # event streams end by themselves; what else is under way has so long
_END_S = 1.8  # after it, whoever is still there is ended
_SETTLED_S = 60.0
_MOST_FAILURES = 5  # in a row, none of which lived for _SETTLED_S
_PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # before each start in a row

_log = logging.getLogger("noctule.dashboard")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; nobody can connect before something serves it."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise NoctuleError(
            f"port {port} of {host} cannot be had ({error.strerror}); choose another with --port"
        ) from None
    return bound


def run(application: Door, bound: socket.socket, workers: int = 1) -> None:
    """Answer until asked to stop by SIGTERM or SIGINT.

    Parameters
    ----------
    application : Door
        What `dashboard.app.build` made.
    bound : socket
        From `listen`.
    workers : int
        How many processes answer; more than one needs fork(2).
    """
    one_arena()
    if workers > 1 and not hasattr(os, "fork"):
        raise NoctuleError(f"this system cannot share a port between {workers} workers; leave --workers at 1")
    bound.listen(_WAITING)
    if workers == 1:
        application.begin(draws=True)
        _Server(application).run(sockets=[bound])
    else:
        _Team(application, bound, workers).run()


class _Server(uvicorn.Server):
    """Uvicorn, which first tells the event streams to end: they would live for as long as their browsers.

    parent : a pipe that is readable once the parent is gone
    """

    def __init__(self, application: Door, parent: int | None = None) -> None:
        # asyncio takes as many connections at once as the backlog is long; one, and they spread over the workers.
        super().__init__(
            uvicorn.Config(
                application,
                log_level="warning",
                timeout_graceful_shutdown=_GRACE_S,
                ws="none",
                backlog=1,
                proxy_headers=False,  # else whoever asks from this machine says from where (`peers.py`)
            )
        )
        self._application, self._parent = application, parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and end when the parent does."""
        if self._parent is not None:
            asyncio.get_running_loop().add_reader(self._parent, self._orphaned)
        await super().startup(sockets)
        for bound in sockets or ():  # and yet many may wait
            bound.listen(_WAITING)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._parent or 0)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._application.end()
        await super().shutdown(sockets)


@dataclass
class _Worker:
    pid: int
    began: float  # monotonic
    failures: int = 0  # in a row


class _Team:
    """The parent: starts workers, starts them again, and ends with them."""

    def __init__(self, application: Door, bound: socket.socket, workers: int) -> None:
        self._application, self._bound, self._count = application, bound, workers
        self._workers: dict[int, _Worker] = {}  # by place
        self._again: dict[
            int, tuple[float, int]
        ] = {}  # places that wait to be filled: when, and after how many failures
        self._stopping = False
        # Only the parent holds the writing end, so that the workers read its end also when it was killed.
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_asked)
        gc.collect()
        gc.freeze()  # the collector would otherwise touch, and so copy, every page that the workers share
        try:
            for place in range(self._count):
                self._start(place, 0)
            while not self._stopping:
                self._look()
                time.sleep(_LOOK_S)
        finally:
            self._end()

    def _stop_asked(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, place: int, failures: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._work(place)
        self._workers[place] = _Worker(pid, time.monotonic(), failures)

    def _look(self) -> None:
        """Fill the places of those who ended."""
        for place, worker in list(self._workers.items()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self._workers[place]
            if self._stopping:
                continue
            failures = 1 if time.monotonic() - worker.began > _SETTLED_S else worker.failures + 1
            if failures >= _MOST_FAILURES:
                raise NoctuleError(f"a web worker ended {failures} times in a row ({_ending(status)}); see above")
            _log.warning("web worker %d %s; starting it again", worker.pid, _ending(status))
            self._again[place] = (time.monotonic() + _PAUSES_S[failures - 1], failures)
        for place, (when, failures) in list(self._again.items()):
            if time.monotonic() >= when and not self._stopping:
                del self._again[place]
                self._start(place, failures)

    def _end(self) -> None:
        self._stopping = True
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        while self._workers and time.monotonic() < deadline:
            self._look()
            time.sleep(_LOOK_S / 5)
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
        self._bound.close()

    def _work(self, place: int) -> NoReturn:
        """What a worker does after the fork; it never comes back from here."""
        code = 1
        try:
            os.close(self._held)
            # Uvicorn raises again what it caught, after it has ended in order.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
            self._application.begin(draws=place == 0)
            _Server(self._application, self._alive).run(sockets=[self._bound])
            code = 0
        except BaseException:  # a traceback is said here, since nothing above us will say it
            _log.exception("a web worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with code {os.WEXITSTATUS(status)}"
