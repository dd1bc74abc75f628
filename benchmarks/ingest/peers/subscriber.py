"""Receives at QoS 1 and acknowledges, and does nothing else.

    subscriber.py PORT ours|stock [AUTHORITY.pem]

`ours` is the Subscriber of ingest. `stock` is paho-mqtt 2.2 alone as its documentation has it: MQTT 5, `manual_ack`,
one callback that acknowledges. With an authority both speak TLS.
"""

import sys
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.mqtt import RECEIVE_MAXIMUM, Filter, Subscriber, Tls


def main() -> None:
    port, kind, authority = int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""
    (ours if kind == "ours" else stock)(port, authority)


def ours(port: int, authority: str) -> None:
    subscriber = Subscriber(
        f"mqtt{'s' if authority else ''}://127.0.0.1:{port}",
        "receiver",
        filters=(Filter("noctule/#", 2),),
        tls=Tls(Path(authority)) if authority else None,
    )
    assert subscriber.receiver == "fast", subscriber.receiver
    while subscriber.state != "stopped":
        subscriber.receive(0.05, 8192)
        while batch := subscriber.pop(8192):
            subscriber.acknowledge(batch.connection, batch.messages)


def stock(port: int, authority: str) -> None:
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, "receiver", protocol=mqtt.MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.on_connect = lambda client, *_: client.subscribe("noctule/#", qos=1)
    client.on_message = lambda client, _, message: client.ack(message.mid, message.qos)
    if authority:
        client.tls_set(authority)
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    client.connect("127.0.0.1", port, 60, clean_start=True, properties=properties)
    client.loop_forever()


if __name__ == "__main__":
    main()
