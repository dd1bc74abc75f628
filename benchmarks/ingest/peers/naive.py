"""What a user of paho-mqtt writes first: a callback that parses JSON, looks at it and commits a row to SQLite.

    naive.py PORT FILE MODE MESSAGES

MODE `default` leaves SQLite as it is: a commit is on disk when it returns. MODE `wal` sets what every guide to a
faster SQLite says (write-ahead log, synchronous = NORMAL): a commit survives a crash of the program, not a power cut.
paho acknowledges a message when the callback has returned, so here too a PUBACK comes after the commit.
"""

import json
import sqlite3
import sys

import paho.mqtt.client as mqtt


def main() -> None:
    port, path, mode, messages = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    database = sqlite3.connect(path)
    if mode == "wal":
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    database.execute("CREATE TABLE IF NOT EXISTS readings (topic TEXT, time REAL, value REAL, unit TEXT, seq INTEGER)")
    stored = 0

    def on_connect(client, userdata, flags, reason, properties):
        client.subscribe("noctule/#", qos=1)

    def on_message(client, userdata, message):
        nonlocal stored
        reading = json.loads(message.payload)[0]
        if not -20 <= reading["v"] <= 200:
            return
        row = (message.topic, reading["t"], reading["v"], reading["u"], reading["seq"])
        database.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?)", row)
        database.commit()
        stored += 1

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "naive", clean_session=False)
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    while stored < messages:
        client.loop(1)
    while client.loop(1) == mqtt.MQTT_ERR_SUCCESS:  # stays until the broker goes
        pass


main()
