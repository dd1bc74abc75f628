"""Nights out of the usual, by the city's journal: evenings of public holidays, and evenings before one.

Nobody works on the morning after: the evening before a holiday is like a Friday whatever its weekday, and the holiday's
own evening like a Sunday. How much each adds, hour by hour, is learnt from the city's own such nights.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sensors.city import City

USUAL, BEFORE_HOLIDAY, HOLIDAY = 0, 1, 2
KINDS = 3


def kinds_of_nights(city: "City") -> dict[int, int]:
    """The kind of each night that is not usual, by days since 1970, from the journal's entries of kind 'holiday'."""
    from sensors.journal import read_journal

    journal = read_journal(city)
    journal = journal[(journal.kind == "holiday") & (journal.status != "dropped")]
    holidays: set[int] = set()
    for start, end in zip(journal.start_time.to_numpy(), journal.end_time.to_numpy(), strict=True):
        holidays |= _days(city, start, end)
    return nights_of(holidays)


def nights_of(holidays: set[int]) -> dict[int, int]:
    """The kind of each night by the days (since 1970) that are holidays; a night is named by its evening.

    >>> nights_of({100, 101})
    {99: 1, 100: 1, 101: 2}
    """
    nights = dict.fromkeys(holidays, HOLIDAY)
    nights |= dict.fromkeys((day - 1 for day in holidays), BEFORE_HOLIDAY)
    return dict(sorted(nights.items()))


def _days(city: "City", start: np.datetime64, end: np.datetime64) -> set[int]:
    """Local days from start to end, the last one if it begins at least; one day where the end is open."""
    from sensors.night import local_offset

    last = start if np.isnat(end) else max(start, end - np.timedelta64(1, "ms"))
    moments = np.array([start, last], "datetime64[ms]")
    first_day, last_day = (moments + local_offset(moments, city.zone)).astype(np.int64) // 86_400_000
    return set(range(int(first_day), int(last_day) + 1))
