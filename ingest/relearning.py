"""What a screen knows of a city whose screening state is lost or of another version: how many people are usual when.

The last days stand in the log's tails and are learnt from there. How busy a counter's hours of the week are takes
weeks, which only the archive has, imported history included. Learning a reading twice changes nothing: what is not
newer than the last reading of its series leaves no mark.
"""

from __future__ import annotations

from datetime import timedelta

from ingest.archive import night_records, nights
from ingest.limits import COUNTED, SiteFacts
from ingest.screening import Screen
from sensors.city import City
from sensors.quantities import QUANTITIES

NIGHTS = 35  # five weeks: three more than are needed before anything is said


def relearnt(city: City, facts: SiteFacts | None = None) -> Screen:
    """A screen that has learnt the counters of a city's last weeks; then learn the tails, oldest first."""
    screen = Screen(facts)
    held = nights(city)
    codes = [QUANTITIES[name].code for name in COUNTED]
    for date in held:
        if date > held[-1] - timedelta(days=NIGHTS):
            records = night_records(city, date, quantities=codes)
            records["part"] = 0  # sorted by time, so messages are no longer together, and were judged when they came
            screen.learn(records)
    return screen
