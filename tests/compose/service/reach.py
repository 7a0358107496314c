"""What of the engine's own parts can be reached from here: run by the build, and asked for by the service."""

import json
import socket
from pathlib import Path

PROXY = ("127.0.0.1", 3128)
SECONDS = 5


def tried(host: str, port: int) -> str:
    """Directly; `reached` or why not."""
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        return f"denied: {error}"
    return "reached"


def asked(host: str, port: int) -> str:
    """By the way out."""
    try:
        with socket.create_connection(PROXY, SECONDS) as proxy:
            proxy.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            answer = proxy.makefile("rb").readline().decode().split()
    except TimeoutError:
        return "denied: no answer"  # names, where no name server answers in time
    except OSError as error:
        return f"no proxy: {error}"
    return "reached" if answer[1:2] == ["200"] else f"denied: {' '.join(answer[1:])}"


def everything() -> dict[str, str]:
    """Each place in both ways. The file is written by the check: addresses are known then."""
    found = {}
    for name, (host, port) in json.loads(Path(__file__).with_name("places.json").read_text()).items():
        found[f"{name}, directly"] = tried(host, port)
        found[f"{name}, by the way out"] = asked(host, port)
    return found


if __name__ == "__main__":
    reached = everything()
    print(json.dumps(reached, indent=1))  # noqa: T201 - the build's log
    if "reached" in reached.values():
        raise SystemExit("the build reached what it must not")
    if any(words.startswith("no proxy") for words in reached.values()):
        raise SystemExit("the build has no way out")
