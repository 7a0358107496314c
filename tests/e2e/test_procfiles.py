"""Ordinary Procfiles on the real stack: release phases, workers, services in folders of one repository."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.facts import facts
from tests.support.platform import OPERATION_SECONDS
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

QUICK = """\
service: {health: {interval: 0.1, startup_timeout: 90}}
rollout: {scale_down_delay: 1, verify_seconds: 0.5}
"""
WORKING = "processes: {worker: {min_uptime: 1}}\n"
# Does not start before its migration; tells its version.
APP = """\
import http.server, os, sys
if not os.path.exists("migrated"): sys.exit("tables are missing")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(os.path.join(os.path.dirname(__file__), "NAME")).read().strip().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


# Tells every moment that it works, for whom, and what it has of the service.
WORKER = """\
import os, time
name, port = open("NAME").read(), os.environ.get("PORT", "no port")
while True:
    with open("FOLDER/beats", "a") as file:
        print(name, os.getpid(), os.environ["DATABASE_URL"], port, file=file)
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def starter(platform):
    """A project whose Procfile is that of a starter."""
    app = platform.app("starter")
    body = {"name": "DATABASE_URL", "kind": "service_env", "value": "db://p1anted-release"}
    app.api.call("POST", f"/projects/{app.project['id']}/secrets", body)
    return app


def files(release: str, name: str) -> dict[str, str | None]:
    procfile = f"release: {release}\nweb: python3 app.py\nconsole: python3 -i\n"
    return {"delivery.yaml": QUICK, "Procfile": procfile, "app.py": APP, "NAME": name}


def logs(app, operation_id: str) -> str:
    return app.api.raw("GET", f"/v1/operations/{operation_id}/logs?step=release").text


def test_release_phase_ignored(starter):
    """`cases/release-phase-ignored`."""
    shipped = starter.ship_good(files=files("touch migrated; echo to $DATABASE_URL", "one"))
    assert starter.service.get().text == "one"
    assert logs(starter, shipped.deployment["operation_id"]) == "$ touch migrated; echo to $DATABASE_URL\nto ***\n"
    detail = {step["name"]: step["detail"] for step in shipped.operation["steps"]}["source"]
    assert detail.startswith("not started: `console`; ")


def test_a_release_command_that_fails_ends_the_deployment_and_the_old_version_serves(starter):
    starter.ship_good(files=files("touch migrated", "two"))
    shipped = starter.ship(files=files("echo no table at $DATABASE_URL; exit 7", "three"))
    assert shipped.error["code"] == "RELEASE_COMMAND_FAILED"
    assert facts(shipped.error)["exit_code"] == 7
    assert "no table at ***" in facts(shipped.error)["log_tail"]
    assert shipped.deployment["status"] == "failed"
    assert starter.service.get().text == "two"
    said = logs(starter, shipped.deployment["operation_id"])
    assert "no table at ***" in said
    assert "p1anted" not in said


class Work:
    """What the workers of a project did."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "beats"

    def since(self, size: int) -> list[list[str]]:
        """Beats beyond a size of the file, each as words."""
        lines = self._file.read_text()[size:].splitlines() if self._file.exists() else []
        return [line.split() for line in lines if line.count(" ") > 2]

    def now(self) -> set[tuple[str, int]]:
        """Who works now: version and process."""
        size = self._file.stat().st_size
        until(lambda: len(self.since(size)) > 10, "somebody works")
        return {(words[0], int(words[1])) for words in self.since(size)}

    def only(self, version: str) -> int:
        """Wait until one worker of this version works and nobody else; its process."""
        until(lambda: [name for name, _ in self.now()] == [version], f"only {version} works")
        [(_, pid)] = self.now()
        return pid


def test_workers_run_beside_the_service_and_go_with_their_version(starter, tmp_path_factory):
    """`cases/release-phase-ignored`: `worker:` beside `web:`, without traffic."""
    folder = tmp_path_factory.mktemp("work")
    folder.chmod(0o777)
    work = Work(folder)

    def version(name: str, worker: str = "exec python3 worker.py") -> dict[str, str | None]:
        procfile = f"release: touch migrated\nweb: python3 app.py\nworker: {worker}\n"
        source = WORKER.replace("FOLDER", str(folder))
        return {**files("x", name), "delivery.yaml": QUICK + WORKING, "Procfile": procfile, "worker.py": source}

    first = starter.ship_good(files=version("one"))
    detail = {step["name"]: step["detail"] for step in first.operation["steps"]}["source"]
    assert detail == "beside the service run `worker` (1)"
    pid = work.only("one")
    assert {tuple(words[2:]) for words in work.since(0)} == {("db://p1anted-release", "no", "port")}
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in {each for _, each in work.now()}, "another process works")
    pid = work.only("one")

    looping = starter.ship(files=version("two", "echo no queue at $DATABASE_URL; exit 3"))
    assert looping.error["code"] == "INSTANCE_EXITED"
    told = facts(looping.error)
    assert (told["process_type"], told["exit_code"]) == ("worker", 3)
    assert "no queue at ***" in told["log_tail"]
    assert "`worker`" in looping.error["message"]
    assert starter.service.get().text == "one"
    assert work.only("one") == pid  # nobody touched it

    third = starter.ship_good(files=version("three"))
    work.only("three")
    assert starter.service.get().text == "three"
    release = starter.api.environment(starter.project["id"])["current_release"]
    assert (release["replicas"], release["processes"]) == (1, {"worker": 1})

    answer = starter.api.raw("POST", f"/v1/deployments/{third.deployment['id']}/rollback", json={"reason": "slow jobs"})
    assert answer.json()["data"]["status"] == "rolled_back"
    assert starter.service.get().text == "one"
    work.only("one")
    starter.ship_good(files={**version("four"), "delivery.yaml": QUICK + "processes: {worker: {count: 0}}\n"})
    until(lambda: not still_beats(work), "nobody works")


def still_beats(work: Work) -> bool:
    size = len(work.since(0))
    time.sleep(1)
    return len(work.since(0)) > size


@pytest.mark.deep
def test_procfile_in_source_path_and_two_services_in_one_repository(platform):
    """`cases/procfile-in-source-path`: one by the file at the root, one by its project; shared sources are in reach."""
    app = platform.app("mono")
    web = "release: touch migrated\nweb: python3 app.py\n"
    build = "build: {steps: [cp ../../shared/NAME NAME]}\n"
    app.repository.commit(
        "1",
        files={
            "delivery.yaml": f"source: {{path: apps/api}}\n{QUICK}",
            "apps/api/Procfile": web,
            "apps/api/app.py": APP,
            "apps/api/NAME": "api",
            "apps/web/Procfile": web,
            "apps/web/app.py": APP,
            "apps/web/delivery.yaml": QUICK + build,
            "shared/NAME": "shared",
        },
    )
    body = {"name": "Web", "slug": "mono-web", "repository_url": app.repository.url, "source_path": "./apps/web/"}
    other = app.api.call("POST", f"/organizations/{platform.organization['id']}/projects", body)
    assert other["source_path"] == "apps/web"
    feature = app.api.create_feature(other["id"], "web")
    for project, one, text in ((app.project, app.feature, "api"), (other, feature, "shared")):
        operation = app.api.wait(app.api.build_and_deploy(one["id"], "1.0.0").operation_id, OPERATION_SECONDS)
        assert operation["status"] == "completed", operation
        assert platform.service(app.api.environment(project["id"])["url"]).get().text == text
    app.api.call("PATCH", f"/projects/{other['id']}", {"source_path": "apps/gone"})
    operation = app.api.wait(app.api.build_and_deploy(feature["id"], "1.0.1").operation_id, OPERATION_SECONDS)
    assert operation["error"]["code"] == "SOURCE_PATH_NOT_FOUND"
    assert "source_path 'apps/gone'" in operation["error"]["message"]
