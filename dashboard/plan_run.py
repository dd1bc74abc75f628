"""The process that computes one scenario for the Plan page, beside the web worker: `python -m dashboard.plan_run`.

It says how far it is in lines of JSON, `{"done", "steps"}`, then `{"finished"}` or `{"error"}`. It ends with the server
that started it, also when that is killed, because their pipe then closes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

_NICE = 10  # the map comes first


def main(city_path: str, scenario_path: str) -> None:
    """Plan the scenario of a file, and leave its page in the atlas."""
    os.nice(_NICE)
    threading.Thread(target=_end_with_server, daemon=True).start()
    from analytics.closing import Desk
    from analytics.plan import first_look, plan
    from analytics.scenario import read_scenario
    from sensors.city import City
    from sensors.errors import NoctuleError

    try:
        city = City.open(city_path)
        scenario = read_scenario(Path(scenario_path), city)
        desk = Desk.open(city)
        first_look(city, scenario, desk)
        _say(looked=True)
        plan(city, [scenario], desk=desk, progress=lambda done, steps: _say(done=done, steps=steps))
    except NoctuleError as error:
        _say(error=str(error))
    except MemoryError:
        _say(error="this machine has too little memory for it")
    else:
        _say(finished=True)


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def _end_with_server() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:3])
