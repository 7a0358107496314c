"""The pictures of `docs/images`: `make screenshots` starts a stack of its own, delivers, and photographs.

Needs chromium on the machine; nothing of it is loaded from the internet.
"""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.client import FINISHED, POLL_SECONDS, Api, ApiError, Json, Service
from examples.embedded import EmbeddedStack, StackError
from examples.repository import ServiceRepository
from tests.support.browser import HEIGHT, BrowserError, Page, chromium, find_chromium

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
MAX_BYTES = 300_000
OPERATION_SECONDS = 120.0
DETAILS_HEIGHT = 1000
# By itself the list shows status, id, type and times; ids say what the other attributes would.
COLUMNS = ("Status", "Workflow ID", "DeliveryStatus", "Start")
WATCH = ("verify_seconds: 1", "verify_seconds: 600")  # a rollout that stays under way while it is photographed
BROKEN = (
    "- python3 build.py",
    """- 'python3 build.py && echo "main.c:7: error: expected a semicolon" >&2 && exit 3'""",
)


class Scene:
    """Operations of every kind of end, one under way and one behind it, in `acme/shop/dev`."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._repository = ServiceRepository(folder)
        self._spec = self._repository.read("delivery.yaml")
        organization = api.create_organization("acme")
        self.project = api.create_project(organization["id"], "shop", self._repository.url)
        self._feature = api.create_feature(self.project["id"], "shop")

    def play(self) -> None:
        """Fill the stage."""
        self._finish("1.0.0", "completed")
        self._finish("2.0.0", "completed")
        self.failed_build = self._finish("2.1.0", "failed", change=BROKEN)
        self.unhealthy = self._finish("2.2.0", "failed", fault="unhealthy")
        bad = self._begin("2.3.0")
        self._await(bad["operation_id"], "completed")
        self._api.rollback(bad["deployment_id"], "Checkout errors rose to 4 %")
        self.running = self._begin("3.0.0", change=WATCH)["operation_id"]
        self._reach(self.running, "Watching")
        self.queued = self._begin("3.1.0")["operation_id"]
        self._reach(self.queued, "Queued")

    def seen(self, operation: str) -> str:
        """Where the Temporal UI shows it, as the API says."""
        url: str = self._api.operation(operation)["temporal_ui_url"]
        return url

    def end(self) -> None:
        """Stop what is still under way."""
        for operation in (self.queued, self.running):
            self._api.call("POST", f"/operations/{operation}/cancel", {"reason": "the pictures are taken"})
            self._await(operation, "cancelled")

    def _finish(self, version: str, status: str, *, fault: str = "none", change: tuple[str, str] = ("", "")) -> str:
        operation: str = self._begin(version, fault=fault, change=change)["operation_id"]
        self._await(operation, status)
        return operation

    def _begin(self, version: str, *, fault: str = "none", change: tuple[str, str] = ("", "")) -> dict[str, str]:
        spec = self._spec.replace(*change) if change[0] else self._spec
        commit = self._repository.commit(version, fault=fault, files={"delivery.yaml": spec})
        accepted = self._api.build_and_deploy(self._feature["id"], version, git_commit_hash=commit)
        return {"operation_id": accepted.operation_id, "deployment_id": accepted.deployment_id}

    def _await(self, operation: str, status: str) -> None:
        ended = self._api.wait(operation, OPERATION_SECONDS)
        if ended["status"] != status:
            raise BrowserError(f"operation {operation} should be {status}, but is {ended['status']}: {ended['error']}")

    def _reach(self, operation: str, words: str) -> None:
        deadline = time.monotonic() + OPERATION_SECONDS
        seen: Json = {}
        while words not in str(seen.get("current_step")):
            if time.monotonic() > deadline or seen.get("status") in FINISHED:
                raise BrowserError(f"operation {operation} never came to {words!r}: {seen}")
            time.sleep(POLL_SECONDS)
            seen = self._api.operation(operation)


class Photographer:
    """Goes from page to page of one stack."""

    def __init__(self, page: Page, addresses: dict[str, str]) -> None:
        self._page = page
        self._api = addresses["api"]
        self._workflows = f"{addresses['temporal_ui']}/namespaces/default/workflows"
        columns = {"default": [{"label": name} for name in COLUMNS]}
        self._page.remember(
            f"localStorage.setItem('namespace-workflow-table-columns', {json.dumps(json.dumps(columns))});"
            "localStorage.setItem('timeFormat', JSON.stringify('UTC'))"
        )

    def take(self, scene: Scene, service: str, environment_id: str) -> None:
        """All pictures."""
        self._page.open(self._workflows, "rolled_back", "queued")
        self._save("workflows")
        self._workflow(scene.seen(scene.running), "timeline-running", "watch the traffic", height=1400)
        self._details(scene.seen(scene.running), "details-running", "Watching the new version")
        self._workflow(scene.seen(scene.unhealthy), "timeline-failed", "drain and stop", height=1400)
        self._details(scene.seen(scene.failed_build), "details-failed", "BUILD_FAILED")
        self._details(f"{self._workflows}/environment-{environment_id}", "details-environment", "Rolling out now")
        self._plain(f"{self._api}/docs", "docs", "build-and-deploy")
        self._page.resize(HEIGHT // 2)
        self._plain(service, "service", "hello service")

    def _workflow(self, url: str, name: str, words: str, height: int = HEIGHT) -> None:
        self._page.resize(height)
        self._page.open(url, words)
        self._save(name)
        self._page.resize(HEIGHT)

    def _details(self, url: str, name: str, words: str) -> None:
        self._page.resize(DETAILS_HEIGHT)
        self._page.open(url, "User Metadata")
        self._page.click("User Metadata")
        self._page.await_words("Current Details", words)
        self._save(name)
        self._page.resize(HEIGHT)

    def _plain(self, url: str, name: str, *words: str) -> None:
        self._page.open(url, *words)
        self._save(name)

    def _save(self, name: str) -> None:
        file = IMAGES / f"{name}.png"
        self._page.picture(file)
        size = file.stat().st_size
        sys.stdout.write(f"{file.name}: {size // 1024} KiB\n")
        if size > MAX_BYTES:
            raise BrowserError(f"{file} has {size} bytes; {MAX_BYTES} is the limit for a picture in the repository")


@contextmanager
def _stack(folder: Path) -> Iterator[EmbeddedStack]:
    stack = EmbeddedStack(folder)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        stack.end_instances()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt  # so that the stack is stopped on the way out


def main() -> int:
    """Take all pictures; 1 with the reason when that cannot be."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        find_chromium()
        IMAGES.mkdir(exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="shots-", ignore_cleanup_errors=True) as folder,
            _stack(Path(folder) / "data") as stack,
            Api(stack.addresses["api"], stack.token()) as api,
            chromium(Path(folder) / "browser") as page,
        ):
            scene = Scene(api, Path(folder) / "shop")
            scene.play()
            environment = api.environment(scene.project["id"])
            service = Service(environment["url"], stack.addresses["ingress"])
            url = f"http://{service.host.split(':')[0]}:{service.dial.rsplit(':', 1)[1]}/"
            Photographer(page, stack.addresses).take(scene, url, environment["id"])
            scene.end()
    except (BrowserError, StackError, ApiError, TimeoutError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
