import threading
from pathlib import Path

import httpx2
import pytest
from defusedxml import ElementTree

from tests.support.services import listens, running, until


@pytest.fixture
def start(hello_python, tmp_path):
    """Starts the built service with a fault switch and waits until it listens."""

    def _start(fault="none"):
        return running(hello_python.command, hello_python.artifact, tmp_path / "log", fault)

    return _start


def get(service, path):
    return httpx2.get(service.url + path, timeout=60, trust_env=False)


def ready(service):
    until(lambda: listens(service.port), f"listening; it said {service.output}")
    return service


def test_its_tests_pass_and_write_a_junit_report(hello_python):
    done = hello_python.test()
    assert done.returncode == 0, done.stdout
    suite = ElementTree.parse(hello_python.report).getroot()
    assert suite.get("failures") == "0"
    assert int(suite.get("tests")) == len(suite.findall("testcase")) >= 10


def test_a_failing_test_is_named_in_the_report(hello_python):
    broken = hello_python.folder / "test_broken.py"
    broken.write_text(
        "import unittest\nclass SumTest(unittest.TestCase):\n"
        "    def test_two_and_two(self):\n        self.assertEqual(2 + 2, 5)\n"
    )
    try:
        done = hello_python.test()
    finally:
        broken.unlink()
    failed = [c for c in ElementTree.parse(hello_python.report).iter("testcase") if c.find("failure") is not None]
    assert done.returncode == 1
    assert [(c.get("classname"), c.get("name")) for c in failed] == [("test_broken.SumTest", "test_two_and_two")]


def test_a_build_done_twice_has_the_same_bytes(hello_python):
    def content():
        return {p.name: p.read_bytes() for p in hello_python.artifact.iterdir() if p.is_file()}

    before = content()
    hello_python.build()
    assert content() == before


def test_it_says_what_runs(start):
    with start() as service:
        ready(service)
        assert get(service, "/healthz").text == "ok\n"
        assert get(service, "/version").json()["version"] == "1.0.0"
        page = get(service, "/")
        assert page.headers["content-type"].startswith("text/html")
        assert "1.0.0" in page.text


def test_sigterm_finishes_the_request_in_flight_and_exits_0(start):
    answers = []
    with start() as service:
        ready(service)
        caller = threading.Thread(target=lambda: answers.append(get(service, "/slow?ms=600").status_code))
        caller.start()
        until(lambda: _in_flight(service), "the request in flight")
        assert service.terminate() == 0
        caller.join(120)
    assert answers == [200]


def _in_flight(service):
    """Two established connections on the port: the peer's and the server's side of the request."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(f":{service.port:04X}" in line and line.split()[3] == "01" for line in lines) >= 2


def test_errors_breaks_that_share_of_pages_but_not_the_health_check(start):
    with start("errors:20") as service, httpx2.Client(trust_env=False) as client:
        ready(service)
        pages = [client.get(f"{service.url}/").status_code for _ in range(50)]
        health = [client.get(f"{service.url}/healthz").status_code for _ in range(20)]
    assert pages.count(500) == 10
    assert set(health) == {200}


def test_unhealthy_answers_500_to_the_health_check(start):
    with start("unhealthy") as service:
        ready(service)
        assert get(service, "/healthz").status_code == 500
        assert get(service, "/").status_code == 200


def test_crash_exits_with_3_and_says_so(start):
    with start("crash") as service:
        assert service.process.wait(120) == 3
        assert "on purpose" in service.output


def test_wrong_port_listens_elsewhere(start):
    with start("wrong-port") as service:
        until(lambda: "listening on" in service.output, "its start")
        assert not listens(service.port)
        assert service.terminate() == 0


def test_never_listens_stays_alive_without_a_socket(start):
    with start("never-listens") as service:
        until(lambda: "listening nowhere" in service.output, "its start")
        assert not listens(service.port)
        assert service.terminate() == 0


def test_slow_start_listens_late(start):
    with start("slow-start:0.5") as service:
        until(lambda: "starting" in service.output, "its start")
        assert not listens(service.port)
        ready(service)
        assert get(service, "/healthz").status_code == 200


def test_an_unknown_fault_is_refused_with_the_choices(start):
    with start("gremlins") as service:
        assert service.process.wait(120) == 2
        assert "wrong-port" in service.output
