"""Node-RED as its guides show it: mqtt-in at QoS 1 -> json -> a function that looks at the value -> append to a file.

Its MQTT client acknowledges before the flow has run, and the file is not synced: a PUBACK promises nothing here. It is
installed from npm into the peers' folder; without npm or the registry the comparison says so and is left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

VERSION = "4.1.15"
_FUNCTION = """
const reading = msg.payload[0];
if (!(reading.v >= -20 && reading.v <= 200)) return null;
msg.payload = JSON.stringify(reading);
return msg;
"""


class NotHereError(Exception):
    """Why this peer cannot be measured on this machine."""


def install(peers: Path) -> Path:
    """The program red.js, installed if it was not."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotHereError("Node-RED needs node and npm, which are not installed")
    program = peers / "node_red" / "node_modules" / "node-red" / "red.js"
    if not program.exists():
        folder = peers / "node_red"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"node-red@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHereError(f"npm could not install node-red@{VERSION}: {done.stderr.strip().splitlines()[-1]}")
    return program


def command(program: Path, folder: Path, port: int, out: Path) -> list[str]:
    """How to run the flow against a broker on this port; what it stores goes, a line each, to `out`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flows.json").write_text(json.dumps(_flow(port, out)), "utf-8")
    (folder / "settings.js").write_text(
        "module.exports = {uiPort: 0, uiHost: '127.0.0.1', flowFile: 'flows.json', httpAdminRoot: false, "
        "httpNodeRoot: false, logging: {console: {level: 'error', metrics: false, audit: false}}, "
        f"userDir: {json.dumps(str(folder))}, telemetry: {{enabled: false, updateNotification: false}}}}",
        "utf-8",
    )
    return ["node", str(program), "-u", str(folder), "-s", str(folder / "settings.js")]


def _flow(port: int, out: Path) -> list[dict[str, object]]:
    # Ids that are no word of the flow: Node-RED takes any member whose value is an id for a reference to that node.
    broker = {"id": "n5", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "node-red",
              "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60", "cleansession": False,
              "birthTopic": "", "closeTopic": "", "willTopic": ""}  # fmt: skip
    reads = {"id": "n1", "type": "mqtt in", "z": "n0", "topic": "noctule/#", "qos": "1", "datatype": "utf8",
             "broker": "n5", "wires": [["n2"]], "inputs": 0}  # fmt: skip
    parses = {"id": "n2", "type": "json", "z": "n0", "property": "payload", "action": "obj", "wires": [["n3"]]}
    looks = {"id": "n3", "type": "function", "z": "n0", "func": _FUNCTION, "outputs": 1, "wires": [["n4"]]}
    writes = {"id": "n4", "type": "file", "z": "n0", "filename": str(out), "filenameType": "str",
              "appendNewline": True, "createDir": True, "overwriteFile": "false", "encoding": "none",
              "wires": [[]]}  # fmt: skip
    return [{"id": "n0", "type": "tab", "label": "readings"}, broker, reads, parses, looks, writes]
