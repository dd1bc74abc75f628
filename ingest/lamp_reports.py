"""What people told an app about lamps, beside the lamps: a report joins the lamp nearest to it within 30 m.

Kept under `store/reports/<campaign>.parquet`: the lamp, or the middle of the street section where no lamp is near, the
quarter of an hour, whether it is still open, and who answers it. Neither the point that was told nor any text is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.lock import shelf_lock
from sensors.coarsening import nearest_middles, quarters
from sensors.errors import AnswerError, StoreError

if TYPE_CHECKING:
    from sensors.city import City

Floats = npt.NDArray[np.float64]

REACH_M = 30.0  # a report further than this from every lamp is of none that the city knows: lamps stand that far apart
OPEN_DAYS = 180  # an app's report that nobody closed for longer says nothing of tonight
COLUMNS: dict[str, str] = {
    "report": "str",  # keyed hash of the app's number
    "lamp": "str",  # '' where none is near
    "easting": "float64",
    "northing": "float64",
    "requested": "datetime64[ms]",
    "replied": "datetime64[ms]",  # NaT while nobody answered
    "state": "str",  # 'open' or 'closed'
    "agency": "str",  # who answers
    "notice": "str",  # what the service says of itself, like 'within ten days'
    "campaign": "str",
    "origin": "str",
}


@dataclass(frozen=True)
class LampReports:
    """What stands open about one lamp."""

    count: int
    first: np.datetime64  # UTC
    agency: str
    notice: str
    origin: str

    @property
    def words(self) -> str:
        """As a person reads it."""
        often = {1: "once", 2: "twice"}.get(self.count, f"{self.count} times")
        return f"reported {often}, first on {str(self.first)[:10]}"


@dataclass(frozen=True)
class Answering:
    """How a service answers lamp reports: how many it had and answered, and the median days to that."""

    reports: int
    answered: int
    median_days: float  # NaN where none was answered

    @property
    def words(self) -> str:
        """As a person reads it."""
        if np.isnan(self.median_days):
            return f"none of {self.reports} answered yet"
        return f"{self.answered} of {self.reports} answered, half of them within {self.median_days:.1f} days"


def keep_lamp_reports(city: City, campaign: str, rows: pd.DataFrame, simulated: bool) -> tuple[int, int]:
    """Keep reports beside their lamps; a report that is known takes its newer state.

    rows : number, lon, lat, requested, replied, state, agency, notice

    Returns how many were known already, and how many have no lamp within reach.
    """
    from ingest.campaigns import LOCK_WAIT_S, hashed, salt_of, write_table

    answers = city.shelf("answers")
    answers.mkdir(parents=True, exist_ok=True)
    shelf = city.shelf("reports")
    shelf.mkdir(parents=True, exist_ok=True)
    with shelf_lock(answers, "noctule reports import", wait_s=LOCK_WAIT_S):
        salt = salt_of(answers)
    lamp, easting, northing = _beside(city, rows)
    replied = rows["replied"].to_numpy().astype("datetime64[ms]")
    fresh = pd.DataFrame(
        {
            "report": [hashed(salt, campaign, number) for number in rows["number"]],
            "lamp": lamp,
            "easting": easting,
            "northing": northing,
            "requested": quarters(rows["requested"].to_numpy()),
            "replied": np.where(np.isnat(replied), replied, quarters(replied)),
            "state": rows["state"].to_numpy(object),
            "agency": rows["agency"].to_numpy(object),
            "notice": rows["notice"].to_numpy(object),
            "campaign": campaign,
            "origin": "simulated" if simulated else "recorded",
        }
    ).astype(COLUMNS)
    with shelf_lock(shelf, "noctule reports import", wait_s=LOCK_WAIT_S):
        stored = shelf / f"{campaign}.parquet"
        before = pd.read_parquet(stored) if stored.is_file() else fresh.iloc[:0]
        known = int(fresh["report"].isin(before["report"]).sum())
        whole = pd.concat([before[~before["report"].isin(fresh["report"])], fresh], ignore_index=True)
        whole = whole.sort_values(["requested", "lamp", "report"], ignore_index=True)
        if not whole.equals(before):
            write_table(stored, whole)
    return known, int((fresh["lamp"] == "").sum())


def lamp_campaigns(city: City) -> list[str]:
    """Ids of the campaigns whose lamp reports are kept."""
    return sorted(path.stem for path in city.shelf("reports").glob("*.parquet"))


def remove_lamp_reports(city: City, campaign: str) -> int:
    """Erase a campaign's lamp reports; how many went."""
    if campaign not in lamp_campaigns(city):
        raise AnswerError(f"there are no lamp reports '{campaign}'; expected one of {', '.join(lamp_campaigns(city))}")
    stored = city.shelf("reports") / f"{campaign}.parquet"
    count = len(pd.read_parquet(stored, columns=["report"]))
    stored.unlink()
    return count


def lamp_reports(city: City) -> pd.DataFrame:
    """All lamp reports as they are kept, columns COLUMNS."""
    frames = [pd.read_parquet(city.shelf("reports") / f"{name}.parquet") for name in lamp_campaigns(city)]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: [] for name in COLUMNS})
    if missing := [name for name in COLUMNS if name not in table]:
        raise StoreError(f"store/reports of {city.name} lacks {', '.join(missing)}; import the reports again")
    return table[list(COLUMNS)].astype(COLUMNS)


def open_reports(table: pd.DataFrame, until: np.datetime64) -> dict[str, LampReports]:
    """What stood open about each lamp at a moment."""
    old = until - np.timedelta64(OPEN_DAYS, "D")
    asked = table["requested"].to_numpy()
    replied = table["replied"].to_numpy()
    standing = (table["state"] == "open").to_numpy() | (replied > until)
    here = table[standing & (asked <= until) & (asked >= old) & (table["lamp"] != "").to_numpy()]
    found: dict[str, LampReports] = {}
    for lamp, group in here.sort_values("requested").groupby("lamp", sort=True):
        agency = next((name for name in group["agency"] if name), "")
        notice = next((said for said in group["notice"] if said), "")
        found[str(lamp)] = LampReports(
            len(group), group["requested"].to_numpy()[0], agency, notice, group["origin"].iloc[0]
        )
    return found


def answering(table: pd.DataFrame) -> Mapping[str, Answering]:
    """How each service answers what is told of lamps; '' for reports that name none."""
    found = {}
    for agency, group in table.groupby("agency", sort=True):
        days = (group["replied"] - group["requested"]).dt.total_seconds().dropna() / 86_400
        middle = float(days.median()) if len(days) else float("nan")
        found[str(agency)] = Answering(len(group), len(days), middle)
    return found


def _beside(city: City, rows: pd.DataFrame) -> tuple[list[str], Floats, Floats]:
    """The lamp of each report, and where it is kept: at the lamp, else at the middle of its street section."""
    from pyproj import Transformer
    from scipy.spatial import cKDTree

    to_city = Transformer.from_crs("EPSG:4326", city.crs, always_xy=True)
    east, north = (np.asarray(one, np.float64) for one in to_city.transform(rows["lon"].tolist(), rows["lat"].tolist()))
    places, _ = nearest_middles(city, east, north)
    lamps = city.places("lamps")
    named = [""] * len(rows)
    if len(lamps):
        where = np.column_stack([lamps.geometry.x, lamps.geometry.y])
        distance, nearest = cKDTree(where).query(np.column_stack([east, north]))
        ids = lamps["lamp"].astype(str).to_numpy(object)
        near = distance <= REACH_M
        named = [str(ids[index]) if close else "" for index, close in zip(nearest, near, strict=True)]
        places = np.where(near[:, None], where[nearest], places)
    return named, places[:, 0].round(2), places[:, 1].round(2)
