"""Gives memory back to the system: a step of a whole city takes arrays of megabytes for a moment, and leaves holes."""

from __future__ import annotations

import contextlib
import ctypes
from functools import lru_cache

_ARENAS = -8  # M_ARENA_MAX of mallopt(3)


def one_arena() -> None:
    """Let threads share an arena, before there are any: each would keep one of its own, with holes of its own."""
    if (library := _library()) is not None:
        library.mallopt(_ARENAS, 1)


def give_back() -> None:
    """Return what lies free between arrays that are kept; costs milliseconds."""
    if (library := _library()) is not None:
        library.malloc_trim(0)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """The C library where it has these knobs (glibc), else None."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        if library.mallopt is not None and library.malloc_trim is not None:
            return library
    return None
