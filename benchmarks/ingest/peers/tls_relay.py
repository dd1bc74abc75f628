"""Puts TLS before a broker that has none, with one record for each message, as mosquitto sends them.

    tls_relay.py PORT BROKER_PORT CERTIFICATE.pem KEY.pem

One connection, then it ends. Says `ready` when it listens.
"""

import select
import socket
import ssl
import sys
from contextlib import suppress


def main() -> None:
    port, target = int(sys.argv[1]), int(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    door = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    client, _ = door.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    broker = socket.create_connection(("127.0.0.1", target))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    shaken = False
    rest = b""
    while True:
        for ready in select.select([client, broker], [], [])[0]:
            data = ready.recv(1 << 17)
            if not data:
                return
            if ready is broker:
                rest = sealed(tls, rest + data)
            else:
                incoming.write(data)
                with suppress(ssl.SSLWantReadError):
                    if not shaken:
                        tls.do_handshake()
                        shaken = True
                    while plain := tls.read(1 << 16):
                        broker.sendall(plain)
            client.sendall(outgoing.read())


def sealed(tls: ssl.SSLObject, stream: bytes) -> bytes:
    """Write each whole packet by itself; what is left of the stream."""
    at = 0
    while True:
        end, shift, length = at + 1, 0, 0
        while end < len(stream):
            length |= (stream[end] & 127) << shift
            shift += 7
            end += 1
            if stream[end - 1] < 128:
                break
        else:
            return stream[at:]
        if end + length > len(stream):
            return stream[at:]
        tls.write(stream[at : end + length])
        at = end + length


if __name__ == "__main__":
    main()
