"""A service that exports its counters in the text format of Prometheus, as client libraries do it."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BOUNDS_S = (0.005, 0.025, 0.1, 0.25, 1.0)

QUERIES = {
    "requests": 'sum(http_requests_total{delivery_release="{{release}}"})',
    "errors": 'sum(http_requests_total{delivery_release="{{release}}", status=~"5.."})',
    "latency_buckets": 'sum by (le) (http_request_duration_seconds_bucket{delivery_release="{{release}}"})',
    "started": 'process_start_time_seconds{delivery_release="{{release}}"}',
}


class Release:
    """The counters of one instance of a release. A counter is exported from its first increase on."""

    def __init__(self) -> None:
        self.started = time.time()
        self.by_status: dict[str, int] = defaultdict(int)
        self.buckets = [0] * len(BOUNDS_S)
        self.seconds = 0.0

    def serve(self, requests: int, *, status: str = "200", seconds: float = 0.01) -> None:
        self.by_status[status] += requests
        self.seconds += requests * seconds
        self.buckets = [n + requests * (seconds <= bound) for n, bound in zip(self.buckets, BOUNDS_S, strict=True)]

    def lines(self, release: str) -> Iterator[str]:
        label = f'delivery_release="{release}"'
        yield f"process_start_time_seconds{{{label}}} {self.started}"
        total = sum(self.by_status.values())
        for status, count in self.by_status.items():
            yield f'http_requests_total{{{label},status="{status}"}} {count}'
        if total:
            for bound, count in zip((*BOUNDS_S, "+Inf"), (*self.buckets, total), strict=True):
                yield f'http_request_duration_seconds_bucket{{{label},le="{bound}"}} {count}'
            yield f"http_request_duration_seconds_sum{{{label}}} {self.seconds}"
            yield f"http_request_duration_seconds_count{{{label}}} {total}"


class Exposition:
    """All releases on one port; whoever scrapes gets each change whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._releases: dict[str, Release] = {}
        self.port = 0

    def serve(self, release: str, requests: int, *, errors: int = 0, seconds: float = 0.01) -> None:
        """Some requests to a release, failed ones among them."""
        with self._lock:
            counted = self._releases.setdefault(release, Release())
            for status, count in (("200", requests - errors), ("500", errors)):
                if count:
                    counted.serve(count, status=status, seconds=seconds)

    def serve_all(self, releases: Sequence[str], requests: int) -> None:
        """As many requests to each, at one moment."""
        with self._lock:
            for release in releases:
                self._releases.setdefault(release, Release()).serve(requests)

    def restart(self, release: str) -> None:
        """The process of a release begins anew, and so do its counters."""
        with self._lock:
            self._releases[release] = Release()

    def text(self) -> str:
        with self._lock:
            lines = [line for name, release in self._releases.items() for line in release.lines(name)]
        return "".join(f"{line}\n" for line in lines)


@contextmanager
def exporting() -> Iterator[Exposition]:
    """An exposition on a free port of the loopback."""
    exposition = Exposition()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition.text().encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Five scrapes a second are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    exposition.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield exposition
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
