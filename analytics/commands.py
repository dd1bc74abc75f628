"""The commands of the room `analytics`; nothing but typer is imported before a command runs."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command `noctule`."""
