"""One of the two databases is put back to an earlier copy while the other one goes on: the record wins."""

from typing import Any

import pytest

from tests.chaos.asking import Asked
from tests.chaos.copies import Copies, Database
from tests.chaos.invariants import settled
from tests.chaos.watching import await_end
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]

BACK_SECONDS = 300.0
ONE_YES = {"required": True, "min_approvals": 1, "four_eyes": True}
STEP = {"weight": 30, "pause": "manual"}
HELD = {"rollout": {"scale_down_delay": 1, "canary": {"steps": [STEP]}}}
HELD_TWICE = {"rollout": {"scale_down_delay": 1, "canary": {"steps": [STEP, {**STEP, "weight": 60}]}}}
WATCHED = {"rollout": {"scale_down_delay": 1, "verify_seconds": 300, "canary": {"steps": [STEP]}}}
KEPT = {"rollout": {"scale_down_delay": 600}}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 30}
LOST = ("failed", "ORCHESTRATION_LOST")


class Scene:
    """Projects, what was begun in each, and which version is to serve in each by the record."""

    def __init__(self, platform, records, database: Database) -> None:
        self._platform, self._records, self._database = platform, records, database
        self.apps: dict[str, Any] = {}
        self.begun: dict[str, Any] = {}

    def app(self, name: str) -> Any:
        self.apps[name] = self._platform.app(f"{name}-{self._database}")
        return self.apps[name]

    def begin(self, name: str, **options: Any) -> None:
        self.begun[name] = self.apps[name].begin(**options)

    def status(self, name: str) -> str:
        deployment_id = self.begun[name].accepted.deployment_id
        return str(self._records.one("SELECT status FROM deployments WHERE id = %s", deployment_id)["status"])

    def becomes(self, name: str, status: str) -> None:
        until(lambda: self.status(name) == status, f"{name} is {status}", 180)

    def weights(self, name: str) -> list[int]:
        """Of the releases that the record gives the project's traffic to."""
        query = "SELECT r.targets FROM routes r JOIN environments e ON e.id = r.environment_id WHERE e.project_id = %s"
        return [t["weight"] for row in self._records.all(query, self.apps[name].project["id"]) for t in row["targets"]]

    def decide(self, name: str, action: str) -> None:
        """By somebody who did not ask for it."""
        path = f"/deployments/{self.begun[name].accepted.deployment_id}/{action}"
        who = self._platform.stack.token(sub="somebody else")
        answer = Asked(self._platform, path, {"reason": "a test"}, who).answered(told=True)
        assert answer.status_code == 200, answer.text

    def end(self, name: str) -> tuple[str, str | None]:
        row = await_end(self._records, self.begun[name].accepted.operation_id, BACK_SECONDS)
        return row["status"], (row["error"] or {}).get("code")

    def serves(self, name: str, version: str) -> None:
        def answers() -> bool:
            answer = self.apps[name].service.get("/version")
            return bool(answer.status_code == 200 and answer.json()["version"] == version)

        until(answers, f"{name} serves {version}", BACK_SECONDS)


@pytest.fixture(params=list(Database))
def database(request):
    return request.param


@pytest.fixture
def scene(platform, records, database):
    """What is there when the copies are taken."""
    made = Scene(platform, records, database)
    for name in ("moved", "back", "approved", "twice", "watched"):
        made.app(name).ship_good()
    made.begin("back", spec=KEPT)
    made.becomes("back", "success")
    for name, spec in (("twice", HELD_TWICE), ("watched", WATCHED)):
        made.begin(name, spec=spec, **CANARY)
        made.becomes(name, "paused")
    project = made.apps["approved"].project["id"]
    made.apps["approved"].api.call("PATCH", f"/projects/{project}/environments/dev", {"approval": ONE_YES})
    made.begin("approved")
    made.becomes("approved", "awaiting_approval")
    return made


def go_on(scene: Scene, records) -> None:
    """What happens after the copies were taken."""
    scene.app("new").ship_good()
    scene.begin("moved", spec=HELD, **CANARY)
    scene.becomes("moved", "paused")
    scene.decide("back", "rollback")
    scene.decide("approved", "approve")
    scene.becomes("approved", "success")
    scene.decide("twice", "resume")
    until(lambda: 60 in scene.weights("twice") and scene.status("twice") == "paused", "the second pause", 180)
    scene.decide("watched", "promote")
    operation_id = scene.begun["watched"].accepted.operation_id
    until(lambda: (records.operation(operation_id)["current_step"] or "").startswith("Watching"), "the watch", 180)


# By the database that is put back: how what was begun ends, and which version serves: the first one, or that.
ENDS = {
    Database.POSTGRES: {"twice": LOST, "watched": LOST, "approved": LOST, "back": ("completed", None)},
    Database.TEMPORAL: {"twice": LOST, "watched": LOST, "approved": ("completed", None), "moved": LOST},
}
SERVES = {
    Database.POSTGRES: {"moved": 0, "back": 1, "approved": 0, "twice": 0, "watched": 0},
    Database.TEMPORAL: {"moved": 0, "back": 0, "approved": 1, "twice": 0, "watched": 0},
}


def test_the_record_wins(*, platform, records, scene, database, tmp_path):
    copies = Copies(platform, records, tmp_path)
    copies.take()
    go_on(scene, records)
    copies.put_back(database)
    ends = {name: scene.end(name) for name in ENDS[database]}
    if ends["watched"] == ("failed", "TRAFFIC_UNVERIFIED"):  # its own look at the routes came before the sweep's
        ends["watched"] = LOST
    assert ends == ENDS[database]
    for name, newer in SERVES[database].items():
        scene.serves(name, scene.begun[name].version if newer else "1.0.0")
    if database is Database.POSTGRES:  # nobody knows of it
        gone = scene.apps.pop("new").project["id"]
        assert records.all("SELECT id FROM projects WHERE id = %s", gone) == []
    for name, app in scene.apps.items():
        if name != "back":  # where a release is kept for a return
            assert settled(records, app.project["id"], 180) == [], name
    for name in scene.apps:
        scene.begin(name)
    scene.becomes("approved", "awaiting_approval")
    scene.decide("approved", "approve")
    for name, begun in scene.begun.items():
        assert (name, *scene.end(name)) == (name, "completed", None)
        scene.serves(name, begun.version)
    # Nothing is carried out any more of what was lost.
    known = {str(row["id"]) for row in records.all("SELECT id FROM releases WHERE state NOT IN ('stopped', 'failed')")}
    root = records.layout.data / "instances"
    until(lambda: {f.name.rpartition("-")[0] for f in root.glob("[!.]*/")} <= known, "no stranger runs", 120)
