"""Which of Dash's own scripts a page loads: those that a page of ours uses, half of what Dash would put on it.

Dash loads its core components (charts, date pickers, upload), its table and a polyfill for browsers of 2015 everywhere.
Of the core components our pages use three that show nothing; `assets/unseen.js` has them in a few lines, under the same
name, so that `dcc.Location`, `dcc.Store` and `dcc.Interval` are written as ever.
"""

from __future__ import annotations

import re

OURS = ("Location", "Store", "Interval")  # what of dash.dcc a page may use
_UNUSED = re.compile(r"/_dash-component-suites/(?:dash/dcc/|dash/dash_table/|dash/deps/polyfill@)", re.ASCII)
_ADDRESS = re.compile(r'(?:src|href)="(/(?:_dash-component-suites|assets)/[^"]+)"')


def used(tags: str) -> str:
    """Dash's script tags, one a line, without those of bundles that no page of ours uses."""
    return "\n".join(line for line in tags.split("\n") if not unused(line))


def unused(text: str) -> bool:
    """Whether this names a script that no page loads."""
    return bool(_UNUSED.search(text))


def addresses(page: str) -> list[str]:
    """What a page loads of scripts and sheets."""
    return _ADDRESS.findall(page)
