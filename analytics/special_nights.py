"""Nights out of the usual, by the city's journal: public holidays, evenings before one, and events of the whole city.

Nobody works on the morning after: the evening before a holiday is like a Friday whatever its weekday, and the holiday's
own evening like a Sunday. An event without a place (a festival, a night of museums) is the whole city's; one with a
place is for the counters there to tell. How much each kind adds, hour by hour, is learnt from the city's own such
nights.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sensors.city import City

USUAL, BEFORE_HOLIDAY, HOLIDAY, EVENT = 0, 1, 2, 3
KINDS = 4
_NOON = np.timedelta64(12, "h")


def kinds_of_nights(city: "City") -> dict[int, int]:
    """The kind of each night that is not usual, by days since 1970, from the journal's holidays and events."""
    from sensors.journal import read_journal

    journal = read_journal(city)
    journal = journal[journal.status != "dropped"]
    holidays: set[int] = set()
    events: set[int] = set()
    for kind, place, start, end in zip(
        journal.kind, journal.place, journal.start_time.to_numpy(), journal.end_time.to_numpy(), strict=True
    ):
        if kind == "holiday":
            holidays |= _days(city, start, end)
        elif kind == "event" and not place:
            events |= _days(city, start - _NOON, end - _NOON)  # a night is named by its evening, and ends at noon
    return nights_of(holidays, events)


def nights_of(holidays: set[int], events: set[int] | None = None) -> dict[int, int]:
    """The kind of each night by the days (since 1970) that are holidays and the nights with an event.

    A night is named by its evening; the evening before a holiday comes before a holiday's, an event before both.

    >>> nights_of({100, 101}, {107})
    {99: 1, 100: 1, 101: 2, 107: 3}
    """
    nights = dict.fromkeys(holidays, HOLIDAY)
    nights |= dict.fromkeys((day - 1 for day in holidays), BEFORE_HOLIDAY)
    nights |= dict.fromkeys(events or (), EVENT)
    return dict(sorted(nights.items()))


def _days(city: "City", start: np.datetime64, end: np.datetime64) -> set[int]:
    """Local days from start to end, the last one if it begins at least; one day where the end is open."""
    from sensors.night import local_offset

    last = start if np.isnat(end) else max(start, end - np.timedelta64(1, "ms"))
    moments = np.array([start, last], "datetime64[ms]")
    first_day, last_day = (moments + local_offset(moments, city.zone)).astype(np.int64) // 86_400_000
    return set(range(int(first_day), int(last_day) + 1))
