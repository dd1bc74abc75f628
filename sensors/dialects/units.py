"""Units as strangers spell them: UN/CEFACT codes (NGSI), UCUM, SenML, and the symbols that people write.

A stated unit is held against the quantity; what is not on its list is refused, since a temperature or a C-weighted
level would pass every range test.
"""

from __future__ import annotations

from sensors.dialects.parsing import shown
from sensors.errors import DecodeError
from sensors.quantities import QUANTITIES

# Quantity unit -> spelling in lower case -> factor to our unit. UN/CEFACT recommendation 20: LUX, 2N (decibel), WTT,
# KWT, WHR, KWH, VLT, C62 (one), P1 (per cent), IE (persons).
_SPELT = {
    "lx": dict.fromkeys(("lx", "lux"), 1.0),
    "dB": dict.fromkeys(("db(a)", "dba", "db_a", "db", "db[spl]", "2n", "decibel", "a-weighted decibel"), 1.0),
    "W": {"w": 1.0, "watt": 1.0, "wtt": 1.0, "kw": 1000.0, "kwt": 1000.0},
    "Wh": {"wh": 1.0, "w.h": 1.0, "w*h": 1.0, "whr": 1.0, "kwh": 1000.0, "kw.h": 1000.0},
    "V": {"v": 1.0, "volt": 1.0, "vlt": 1.0},
    "1": {"1": 1.0, "/": 1.0, "c62": 1.0, "one": 1.0, "ratio": 1.0, "%": 0.01, "p1": 0.01, "percent": 0.01},
    "count": dict.fromkeys(
        ("count", "counts", "1", "c62", "ie", "{people}", "{count}", "people", "persons", "pedestrians", "#"), 1.0
    ),
}


def factor(quantity: str, stated: str) -> float:
    """What a value in the stated unit is multiplied by to be in ours; DecodeError when it is none of the quantity's.

    >>> factor("energy", "kWh")
    1000.0
    """
    spelt = _SPELT[QUANTITIES[quantity].unit]
    found = spelt.get(stated.strip().lower())
    if found is None:
        raise DecodeError(f"{quantity} came in {shown(stated)}; expected one of {', '.join(spelt)}")
    return found
