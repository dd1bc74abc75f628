"""The two decorators every kernel wears, and the one way rows of cells are shared out among threads.

A scalar formula wears `@kernel()`, a loop that fills rows of an array wears `@cell_kernel()` and takes the first and
the last row as its leading arguments. `over_rows` calls such a loop on bands of rows. A cell is always computed whole
by one thread in one order, so a map is bit-equal on any number of threads.

numba's own `parallel=True` is not used: its work queue may not be entered from two Python threads at once, which is
what a replay on Dask threads does, and it is most of the compile time (15.8 core-s against about 5). Loops release the
interpreter lock instead, and a plain thread pool carries the bands.

fastmath without `nnan` and `ninf`: NaN means "not known" here, and must survive.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import config as numba_config

_FASTMATH = {"contract", "reassoc", "arcp", "nsz"}
_BANDS_PER_THREAD = 4  # bands end unevenly (lamps cluster); four each keep both cores busy to within a few per cent

_HERE = Path(__file__).parent
_NAME = re.compile(r"[0-9a-f]{12}")


def _of_these_sources(folder: str) -> str:
    """A cache folder of this state of all kernels: numba looks at a kernel's own file, and not at what it inlines."""
    digest = hashlib.sha256()
    for file in sorted(_HERE.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return str(Path(folder) / digest.hexdigest()[:12])


if numba_config.CACHE_DIR:  # type: ignore[attr-defined]  # NUMBA_CACHE_DIR; without it an installation's own folders
    numba_config.CACHE_DIR = _of_these_sources(numba_config.CACHE_DIR)  # type: ignore[attr-defined]  # as above

_threads: ContextVar[int | None] = ContextVar("threads", default=None)


def kernel() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate one scalar formula: compiled, put into the loop that calls it, no zero tests at divisions."""
    return _as_decorator(forceinline=True)


def cell_kernel() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate one loop over cells: compiled once into numba's cache, runs without the interpreter lock."""
    return _as_decorator(cache=True, nogil=True)


def forget_older_caches() -> None:
    """Remove the caches of other states of the kernels beside the present one."""
    folder = Path(numba_config.CACHE_DIR or ".")  # type: ignore[attr-defined]  # as above
    if numba_config.CACHE_DIR and _NAME.fullmatch(folder.name):  # type: ignore[attr-defined]  # as above
        for beside in folder.parent.glob("*"):
            if beside != folder and _NAME.fullmatch(beside.name):
                shutil.rmtree(beside, ignore_errors=True)


def over_rows(loop: Callable[..., Any], n_rows: int, *arguments: Any) -> None:
    """Call `loop(first, last, *arguments)` on bands that together cover rows 0 to n_rows.

    Parameters
    ----------
    loop : cell kernel
        Fills rows first to last (not included) of the arrays among its arguments.
    n_rows : int
        Number of rows to cover.
    """
    threads = threads_in_use()
    if threads == 1 or n_rows < 2 * threads:
        loop(0, n_rows, *arguments)
        return
    band = -(-n_rows // (_BANDS_PER_THREAD * threads))
    starts = range(0, n_rows, band)
    waiting = [_pool(threads, os.getpid()).submit(loop, a, min(a + band, n_rows), *arguments) for a in starts]
    for job in waiting:
        job.result()


def threads_in_use() -> int:
    """Threads that kernels run on: what `use_threads` says, else NUMBA_NUM_THREADS, else one a processor."""
    wanted = _threads.get()
    if numba_config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets its settings when it is imported
        return 1
    if wanted is not None:
        return wanted
    return int(numba_config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # as above


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Run the kernels called in this block on `number` threads."""
    before = _threads.set(number)
    try:
        yield
    finally:
        _threads.reset(before)


def _as_decorator(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = numba.njit(fastmath=_FASTMATH, error_model="numpy", **options)(function)
        return compiled

    return decorate


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool a process: `process` is in the key because threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"cells-{process}")
