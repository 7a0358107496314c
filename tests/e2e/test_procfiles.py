"""Ordinary Procfiles on the real stack: release phases, workers, services in folders of one repository."""

import pytest

from tests.support.facts import facts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUICK = "service: {health: {interval: 0.1, startup_timeout: 20}}\nrollout: {scale_down_delay: 1, verify_seconds: 0.5}\n"
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


@pytest.fixture(scope="module")
def starter(platform):
    """A project whose Procfile is that of a starter."""
    app = platform.app("starter")
    body = {"name": "DATABASE_URL", "kind": "service_env", "value": "db://p1anted-release"}
    app.api.call("POST", f"/projects/{app.project['id']}/secrets", body)
    return app


def files(release: str, name: str) -> dict[str, str | None]:
    procfile = f"release: {release}\nweb: python3 app.py\nworker: celery worker\n"
    return {"delivery.yaml": QUICK, "Procfile": procfile, "app.py": APP, "NAME": name}


def logs(app, operation_id: str) -> str:
    return app.api.raw("GET", f"/v1/operations/{operation_id}/logs?step=release").text


def test_release_phase_ignored(starter):
    """`cases/release-phase-ignored`."""
    shipped = starter.ship_good(files=files("touch migrated; echo to $DATABASE_URL", "one"))
    assert starter.service.get().text == "one"
    assert logs(starter, shipped.deployment["operation_id"]) == "$ touch migrated; echo to $DATABASE_URL\nto ***\n"
    detail = {step["name"]: step["detail"] for step in shipped.operation["steps"]}["source"]
    assert detail.startswith("not started from the Procfile: `worker` (line 3)")


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
        operation = app.api.wait(app.api.build_and_deploy(one["id"], "1.0.0").operation_id, 90)
        assert operation["status"] == "completed", operation
        assert platform.service(app.api.environment(project["id"])["url"]).get().text == text
    app.api.call("PATCH", f"/projects/{other['id']}", {"source_path": "apps/gone"})
    operation = app.api.wait(app.api.build_and_deploy(feature["id"], "1.0.1").operation_id, 90)
    assert operation["error"]["code"] == "SOURCE_PATH_NOT_FOUND"
    assert "source_path 'apps/gone'" in operation["error"]["message"]
