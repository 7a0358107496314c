"""What an organization owns, made through the API: something real for every path parameter of the document.

A new path parameter needs a line in `FILLERS`: a coroutine that makes such a thing and gives what stands in the path.
An id in the body of a new route needs one in `REFERENCES`.
"""

import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domain.permissions import Scope
from storage.engine import Sessions
from tests.api.bodies import CASE, RESULT
from tests.api.conftest import Caller, World
from tests.api.people import joined
from tests.support.findings import finding, record_scan

Filler = Callable[["Owner"], Awaitable[str]]
READ = Scope.PROJECTS_READ.value


@dataclass
class Owner:
    """An organization with its callers, and what was made for it by name of path parameter."""

    world: World
    admin: Caller
    viewer: Caller
    build_of: Any
    rows: Sessions
    made: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def own(self, parameter: str) -> str:
        """What fills the path parameter; made at first use. KeyError: `FILLERS` lacks it."""
        if parameter not in self.made:
            self.made[parameter] = await FILLERS[parameter](self)
        return self.made[parameter]

    async def fill(self) -> None:
        """Make one of everything."""
        for parameter in FILLERS:
            await self.own(parameter)

    async def add(self) -> None:
        """Make another one of everything below the same parents, so that lists have a second row."""
        for make in FILLERS.values():
            self.others.add(await make(self))

    async def create(self, path: str, body: Any) -> str:
        """Make something as the organization's admin; its id."""
        made = await self.admin.made(path, body)
        return str(made["id"])

    def number(self) -> int:
        """For names and versions that are taken once."""
        return next(self._numbers)


async def _project(owner: Owner) -> str:
    body = {"name": "Shop", "slug": f"shop-{owner.number()}", "repository_url": "https://git.example.com/acme/shop"}
    return await owner.create(f"/organizations/{await owner.own('org_id')}/projects", body)


async def _requirement(owner: Owner) -> str:
    body = {"title": "Sell things", "description": "d", "acceptance_criteria": ["It sells"]}
    return await owner.create(f"/projects/{await owner.own('project_id')}/requirements", body)


async def _feature(owner: Owner) -> str:
    body = {"name": "Basket", "description": "Holds things"}
    return await owner.create(f"/requirements/{await owner.own('requirement_id')}/features", body)


async def _test_case(owner: Owner) -> str:
    return await owner.create(f"/features/{await owner.own('feature_id')}/tests", CASE)


async def _test_result(owner: Owner) -> str:
    return await owner.create(f"/testcases/{await owner.own('testcase_id')}/results", RESULT)


async def _organization(owner: Owner) -> str:
    return str(owner.world.org["id"])


async def _environment(owner: Owner) -> str:
    await owner.own("build_id")
    return "dev"


async def _member(owner: Owner) -> str:
    org, number = await owner.own("org_id"), owner.number()
    return str((await joined(owner.admin, org, f"member-{number}-of-{org}@example.com"))["id"])


async def _guard_change(owner: Owner) -> str:
    """A weakening that waits for approval; the rule goes with whoever stands above it."""
    path = f"/projects/{await owner.own('project_id')}/environments/{await owner.own('name')}"
    await owner.admin.patch(path, {"approval": {"required": True}})
    waiting = await owner.admin.patch(path, {"approval": None})
    assert waiting.status_code == 202, waiting.text
    return str(waiting.json()["data"]["id"])


async def _vulnerability(owner: Owner) -> str:
    """What a scan found in the build."""
    found = finding(f"GHSA-{owner.number():04}", name=f"package-{owner.number()}")
    kept = await record_scan(owner.rows, await owner.own("build_id"), found)
    return str(kept.ids[found.fingerprint])


def _inside(path: str, body: Mapping[str, Any] | None = None) -> Filler:
    """Something that is made at a path below those of its parents; a `#` in the body becomes a new number."""

    async def make(owner: Owner) -> str:
        parents = {name: await owner.own(name) for name in re.findall(r"{(\w+)}", path)}
        number = str(owner.number())
        values = {name: v.replace("#", number) if isinstance(v, str) else v for name, v in (body or {}).items()}
        return await owner.create(path.format(**parents), values if body else None)

    return make


def _delivered(part: str) -> Filler:
    """A part of what a worker would have recorded of a build and its deployment."""

    async def make(owner: Owner) -> str:
        feature = {"id": await owner.own("feature_id")}
        made = await owner.build_of(replace(owner.world, feature=feature), f"1.0.{owner.number()}")
        return str(made[part])

    return make


FILLERS: Mapping[str, Filler] = {
    "org_id": _organization,
    "project_id": _project,
    "requirement_id": _requirement,
    "feature_id": _feature,
    "testcase_id": _test_case,
    "result_id": _test_result,
    "build_id": _delivered("build_id"),
    "deployment_id": _delivered("deployment_id"),
    "operation_id": _delivered("operation_id"),
    "vulnerability_id": _vulnerability,
    "name": _environment,
    "change_id": _guard_change,
    "user_id": _member,
    "invitation_id": _inside("/organizations/{org_id}/invitations", {"email": "#@example.com", "role": "viewer"}),
    "service_account_id": _inside("/organizations/{org_id}/service-accounts", {"name": "CI #", "role": "developer"}),
    "client_id": _inside(
        "/organizations/{org_id}/clients",
        {"name": "Board #", "type": "confidential", "redirect_uris": ["https://b.example.com/"], "scopes": [READ]},
    ),
    "key_id": _inside("/organizations/{org_id}/api-keys", {"name": "ci #", "scopes": [READ]}),
    "secret_id": _inside("/projects/{project_id}/secrets", {"name": "TOKEN_#", "value": "not for others"}),
    "webhook_id": _inside("/organizations/{org_id}/webhooks", {"url": "https://hooks.example.com/#"}),
    "delivery_id": _inside("/organizations/{org_id}/webhooks/{webhook_id}/ping"),
}

# Parameters that name something inside of their parent: another organization's word is one of one's own.
SCOPED = frozenset({"name"})

# Fields of bodies that name a row: what they name (a path parameter), or why nothing is looked up by them.
REFERENCES: Mapping[str, str] = {
    "developer_id": "user_id",
    "project_id": "project_id",
}
