"""Answers /operations.json: what the Operations page shows, for machines, to the same role."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope

from dashboard.pages.context import House
from dashboard.roles import may
from dashboard.security import Headers

Answer = tuple[int, Headers, bytes]
_NEVER = (b"cache-control", b"no-store")


class Operating:
    """The route; `role_of` says who asks."""

    def __init__(self, house: House, role_of: Callable[[Scope], str]) -> None:
        self._house, self._role_of = house, role_of

    async def __call__(self, scope: Scope, _receive: Receive) -> Answer:
        """Answer one request."""
        if scope["path"] != "/operations.json" or scope["method"] not in ("GET", "HEAD"):
            return 404, [_NEVER], b""
        if not may(self._role_of(scope), "operations"):
            return 403, [_NEVER], b""
        state: dict[str, Any] = await asyncio.to_thread(
            self._house.operations.state, self._house.city, self._house.clock, wait=True
        )
        body = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False, default=str).encode()
        return 200, [(b"content-type", b"application/json"), _NEVER], body
