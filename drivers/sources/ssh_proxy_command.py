"""ssh's `ProxyCommand`: `python -I -S ssh_proxy_command.py <host> <port>`.

Connects its stdin and stdout to the host through the `EgressGuard`, whose port and password are in DELIVERY_EGRESS.
Stdlib only: ssh starts it for each connection.
"""

import base64
import os
import socket
import sys
import threading

CHUNK = 65536
TIMEOUT_S = 45  # limit of the proxy's name lookup and connect


def main() -> int:
    """Entry point; 1 if the proxy refuses."""
    host, port = sys.argv[1:]
    proxy, password = os.environ["DELIVERY_EGRESS"].split(" ")
    with socket.create_connection(("127.0.0.1", int(proxy)), timeout=TIMEOUT_S) as connection:
        name = f"[{host}]" if ":" in host else host
        auth = base64.b64encode(f"git:{password}".encode()).decode()
        request = f"CONNECT {name}:{port} HTTP/1.1\r\nProxy-Authorization: Basic {auth}\r\n\r\n"
        connection.sendall(request.encode())
        head, rest = _head(connection)
        if head.split(" ")[1:2] != ["200"]:
            sys.stderr.write(f"the way to {host}:{port} is closed: {head}\n")
            return 1
        connection.settimeout(None)  # from here on ssh decides; git's timeout limits the whole
        threading.Thread(target=_send, args=(connection,), daemon=True).start()
        _write(rest)
        while chunk := connection.recv(CHUNK):
            _write(chunk)
    return 0


def _head(connection: socket.socket) -> tuple[str, bytes]:
    """The first line of the answer, and the bytes after its head."""
    got = b""
    while b"\r\n\r\n" not in got and (chunk := connection.recv(CHUNK)):
        got += chunk
    head, _, rest = got.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0].decode("ascii", "replace"), rest


def _send(connection: socket.socket) -> None:
    while chunk := os.read(0, CHUNK):
        connection.sendall(chunk)
    connection.shutdown(socket.SHUT_WR)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())
