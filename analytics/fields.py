"""The three fields of one step: illuminance, noise and footfall, each with its error and its provenance.

A pure function of surroundings, knowledge, records and step: the same inputs give the same bits on any number of
threads, live or replayed.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analytics.footfall import footfall_field
from analytics.knowledge import Knowledge
from analytics.light import light_field
from analytics.noise import noise_field
from analytics.observations import ordered
from analytics.surroundings import Surroundings
from sensors.reading import Records

_ORIGIN = {
    "long_name": "what the value rests on",
    "flag_masks": [1, 2, 4],
    "flag_meanings": "measured modelled simulated",
}
_BYTES = ("_origin", "_measured", "_simulated")
_MEASURED = {
    "long_name": "share of the background's variance that real sensors, surveys and measured maps took away",
    "units": "percent",
}
_SIMULATED = {
    "long_name": "share that simulated sensors took away or that rests on simulated input; what is left is modelled",
    "units": "percent",
}
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "illuminance": {"long_name": "horizontal illuminance on the ground", "units": "lx"},
    "illuminance_sd": {"long_name": "standard deviation of ln illuminance", "units": "1"},
    "illuminance_min": {"long_name": "lowest illuminance on the street within 25 m", "units": "lx"},
    "illuminance_origin": _ORIGIN,
    "illuminance_measured": _MEASURED,
    "illuminance_simulated": _SIMULATED,
    "illuminance_nearest": {"long_name": "distance to the nearest live lux sensor", "units": "m"},
    "noise": {"long_name": "LAeq in the free field; modelled, not legal metrology", "units": "dB"},
    "noise_sd": {"long_name": "standard deviation of noise", "units": "dB"},
    "noise_origin": _ORIGIN,
    "noise_measured": _MEASURED,
    "noise_simulated": _SIMULATED,
    "noise_nearest": {"long_name": "distance to the nearest live noise meter", "units": "m"},
    "footfall": {"long_name": "people passing a line across the street, median", "units": "persons/h"},
    "footfall_sd": {"long_name": "standard deviation of ln footfall", "units": "1"},
    "footfall_origin": _ORIGIN,
    "footfall_measured": _MEASURED,
    "footfall_simulated": _SIMULATED,
    "footfall_nearest": {"long_name": "distance to the nearest live counter", "units": "m"},
}


def fields_at(surroundings: Surroundings, knowledge: Knowledge, records: Records, step: np.datetime64) -> xr.Dataset:
    """Estimate light, noise and footfall on the city's grid for the step that starts at `step`.

    Parameters
    ----------
    records : (n,) RECORD array
        The night's readings so far, in any order. Counters, meters and lux sensors count with readings whose interval
        ends in (step, step + 15 min]; lamps with the last that they said at or before its end.
    step : datetime64
        Start of the step, UTC.

    Returns
    -------
    Dataset with dimensions (time = 1, northing, easting)
        float32 fields with their errors, `<field>_nearest` in metres (infinite without a live sensor) and
        `<field>_origin` (uint8 bits: 1 measured, 2 modelled, 4 simulated); `<field>_measured` and `<field>_simulated`
        (uint8, per cent; the rest is modelled); units in `attrs`.
    """
    step = step.astype("datetime64[ms]")
    records = ordered(records)
    people = footfall_field(surroundings, knowledge.footfall, knowledge.coefficients, records, step)
    sound = noise_field(surroundings, knowledge.noise, people.rate, people.origin, records, step)
    lit = light_field(surroundings, knowledge.light, records, step)
    return _dataset(
        surroundings,
        step,
        {
            "illuminance": lit.illuminance,
            "illuminance_sd": lit.sd,
            "illuminance_min": lit.lowest,
            "illuminance_origin": lit.origin,
            "illuminance_nearest": lit.nearest,
            "illuminance_measured": lit.measured,
            "illuminance_simulated": lit.simulated,
            "noise": sound.level,
            "noise_sd": sound.sd,
            "noise_origin": sound.origin,
            "noise_nearest": sound.nearest,
            "noise_measured": sound.measured,
            "noise_simulated": sound.simulated,
            "footfall": people.rate,
            "footfall_sd": people.sd,
            "footfall_origin": people.origin,
            "footfall_nearest": people.nearest,
            "footfall_measured": people.measured,
            "footfall_simulated": people.simulated,
        },
    )


def _dataset(surroundings: Surroundings, step: np.datetime64, layers: dict[str, NDArray[Any]]) -> xr.Dataset:
    variables = {}
    for name, layer in layers.items():
        kind = np.uint8 if name.endswith(_BYTES) else np.float32
        values = np.ascontiguousarray(layer, kind)[np.newaxis]
        variables[name] = xr.Variable(("time", "northing", "easting"), values, dict(_ATTRIBUTES[name]))
    coordinates = surroundings.grid.coordinates.assign(time=("time", [step.astype("datetime64[ns]")]))
    return xr.Dataset(variables, coordinates)
