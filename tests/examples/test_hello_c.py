import httpx2
from defusedxml import ElementTree

from tests.support.services import listens, running, until


def test_its_tests_pass_and_write_a_junit_report(hello_c):
    done = hello_c.test()
    assert done.returncode == 0, done.stdout + done.stderr
    suite = ElementTree.parse(hello_c.report).getroot()
    assert suite.get("failures") == "0"
    assert int(suite.get("tests")) == len(suite.findall("testcase"))


def test_it_serves_and_stops_in_order(hello_c, tmp_path):
    with running(hello_c.command, hello_c.artifact, tmp_path / "log") as service:
        until(lambda: listens(service.port), "listening")
        with httpx2.Client(base_url=service.url, trust_env=False) as client:
            assert client.get("/healthz").text == "ok\n"
            assert client.get("/version").json()["version"] == "1.0.0"
            assert "<h1" in client.get("/").text
            assert client.get("/nothing").status_code == 404
            assert client.post("/", content=b"x").status_code == 405
            assert client.get("/healthz").status_code == 200
        assert service.terminate() == 0


def test_unhealthy_breaks_the_health_check_only(hello_c, tmp_path):
    with running(hello_c.command, hello_c.artifact, tmp_path / "log", "unhealthy") as service:
        until(lambda: listens(service.port), "listening")
        assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 500
        assert httpx2.get(f"{service.url}/", trust_env=False).status_code == 200
