"""An image of the night from the air or a drone: a GeoTIFF with a calibration to lux, averaged to cells of the city.

Light that goes up is not light on the ground: it is what lamps lose, and what the ground, roofs and trees give back.
The user states how many lux on the ground one count of the image means; the survey is of plane 'aerial' with an error
that is wide by default, and pixels of 0.5 m and finer are refused, so that no person can be in them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from sensors.city import City
from sensors.errors import LayerError
from sensors.light_survey import LEAST_LUX, MOST_LUX, STEP_MS, SURVEY_COLUMNS, SurveyReport, Terms, checked_terms
from sensors.lux_drive import moment_of
from sensors.night import night_of, sun_elevation
from sensors.raster import Band, read_onto_grid


def read_night_image(
    file: Path, city: City, terms: Terms, *, band: Band, when: str, crs: str = ""
) -> tuple[Terms, pd.DataFrame, SurveyReport]:
    """Read an image: the terms with what came of it, its cells (SURVEY_COLUMNS), and a report.

    band : with the calibration lux = scale x count + offset; when : date or local moment of the flight
    """
    terms = checked_terms(terms, city)
    if terms.plane != "aerial":
        raise LayerError(f"an image is a survey of plane 'aerial', not '{terms.plane}'")
    if band.scale is None:
        raise LayerError("an image needs its calibration to lux on the ground: --scale (lux a count) and --offset")
    if not when:
        raise LayerError("an image does not say its night; state it with --when, like --when 2014-09-16T23:40")
    moment = moment_of(when, city.zone)
    longitude, latitude = city.centre_lonlat()
    if sun_elevation(np.array([moment], "datetime64[ms]"), latitude, longitude)[0] > -6.0:
        raise LayerError(
            f"--when {when}: the sun was not 6 degrees down in {city.name}; lamps cannot be told from the sky"
        )
    seen = read_onto_grid(file, city, band, least=LEAST_LUX, most=MOST_LUX, crs=crs)
    row, column = np.nonzero(np.isfinite(seen.value))
    if not row.size:
        raise LayerError(f"{file} covers no cell of {city.name} with a value between {LEAST_LUX:g} and {MOST_LUX:g} lx")
    grid = city.settings.grid
    cells = pd.DataFrame(
        {
            "easting": grid.west + (column + 0.5) * grid.cell_m,
            "northing": grid.south + (row + 0.5) * grid.cell_m,
            "time": np.full(row.size, moment.astype(np.int64) // STEP_MS * STEP_MS).astype("datetime64[ms]"),
            "lux": seen.value[row, column],
            "readings": 1,
            "spread": np.nan,
            "at_least": seen.value[row, column] >= 0.999 * terms.clip_lux if terms.clip_lux else False,
        }
    ).astype(SURVEY_COLUMNS)
    low, middle, high = np.quantile(cells["lux"], (0.05, 0.5, 0.95))
    night = night_of(moment, city.zone).name
    report = SurveyReport(
        str(file),
        rows=seen.pixels,
        readings=seen.pixels - seen.outside,
        cells=len(cells),
        at_least=int(cells["at_least"].sum()),
        left_out={f"not between {LEAST_LUX:g} and {MOST_LUX:g} lx": seen.outside} if seen.outside else {},
        nights=(night, night),
        quantiles=(float(low), float(middle), float(high)),
        notes=[f"pixels of {seen.pixel_m:.2f} m, averaged to cells of {grid.cell_m:g} m"],
        survey=terms.survey,
    )
    described = msgspec.structs.replace(
        terms,
        crs=city.crs,
        cell_m=grid.cell_m,
        readings=report.readings,
        first=night,
        last=night,
        digest=file_digest(file),
    )
    return described, cells, report


def file_digest(file: Path) -> str:
    """SHA-256 of a file, shortened."""
    hasher = hashlib.sha256()
    with open(file, "rb") as content:
        while block := content.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()[:16]
