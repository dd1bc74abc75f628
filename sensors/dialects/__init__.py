"""Every dialect that devices speak, as pure functions from a message to measurements or reasons for refusal.

`table` says what a dialect is, `routing` lists them all and finds the one a message is written in; each of the other
files reads one. docs/dialects.md says what is taken of each, and adds a new one in 30 lines.
"""

from sensors.dialects.frames import DECODERS
from sensors.dialects.routing import DIALECTS, decode, matches
from sensors.dialects.table import Dialect, Outcome, Source

__all__ = ["DECODERS", "DIALECTS", "Dialect", "Outcome", "Source", "decode", "matches"]
