"""How long services need to serve again after `make up`: `python -m tests.bench.returning FOLDER --services 40`.

The folder keeps the stack between runs, so that two versions of the code are compared on the same services. Prints when
the stack said ready, when how many of the hosts answered, and what processor time all of it took.
"""

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.support.platform import App, Platform

LIMIT_S = 300.0
SPEC = {
    "build": {"steps": ["make"]},
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.1},
    "service": {"health": {"interval": 0.2, "healthy_after": 1}},
}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--services", type=int, default=40)
    options = parser.parse_args()
    folder: Path = options.folder
    hosts_file = folder / "hosts.json"
    if not hosts_file.exists():
        _make(folder, options.services, hosts_file)
    _measure(folder, json.loads(hosts_file.read_text()))


def _make(folder: Path, count: int, hosts_file: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    platform = Platform(folder / "data", folder / "repositories")
    try:
        apps = [platform.app(f"many{number}", "hello-c") for number in range(count)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(_ship, apps))
        hosts = [urlsplit(app.api.environment(app.project["id"])["url"]).hostname for app in apps]
        hosts_file.write_text(json.dumps(hosts))
    finally:
        platform.close_connections()
        platform.stack.down()


def _ship(app: App) -> None:
    shipped = app.ship_good(spec=SPEC)
    _say(f"shipped {shipped.deployment['id']}")


def _measure(folder: Path, hosts: list[str]) -> None:
    began = time.monotonic()
    before = psutil.cpu_times()
    usage: list[float] = []
    ended = threading.Event()
    threading.Thread(target=_watch, args=(usage, ended), daemon=True).start()
    ready_file = folder / "ready.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "runtime.stack", "up", "--ready-file", str(ready_file)]
    with (folder / "up.txt").open("wb") as output:
        stack = psutil.Popen(command, env=_environment(folder), stdout=output, stderr=subprocess.STDOUT)
    try:
        while not ready_file.exists():
            assert stack.poll() is None, (folder / "up.txt").read_text()
            time.sleep(0.05)
        _say(f"ready after {time.monotonic() - began:.1f} s")
        ingress = urlsplit(json.loads(ready_file.read_text())["ingress"])
        _until_all(hosts, ingress.port or 80, began)
        ended.set()
        after = psutil.cpu_times()
        spent = (after.user - before.user) + (after.system - before.system)
        _say(f"processor time of the machine: {spent:.1f} s; most busy second {max(usage, default=0):.0f} %")
    finally:
        ended.set()
        stack.terminate()
        stack.wait(120)


def _watch(usage: list[float], ended: threading.Event) -> None:
    psutil.cpu_percent()
    while not ended.wait(1):
        usage.append(psutil.cpu_percent())


def _environment(folder: Path) -> dict[str, str]:
    return {**psutil.Process().environ(), "DELIVERY_DATA_DIR": str(folder / "data")}


def _until_all(hosts: list[str], port: int, began: float) -> None:
    waiting, told = list(hosts), 0
    while waiting:
        waiting = [host for host in waiting if not _serves(host, port)]
        done = len(hosts) - len(waiting)
        if done > told:
            told = done
            _say(f"  {time.monotonic() - began:5.1f} s: {done} of {len(hosts)} serve")
        assert time.monotonic() - began < LIMIT_S, waiting
        time.sleep(0.2)


def _serves(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/version", headers={"Host": host})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
