"""A small client of the engine's API: handles the contract's envelopes, and raises its errors with their codes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

FINISHED = frozenset({"completed", "failed", "cancelled"})
POLL_SECONDS = 0.2
REQUEST_SECONDS = 30.0

Json = dict[str, Any]


class ApiError(Exception):
    """An error response. `status` is HTTP's, `code` and `details` are the contract's."""

    def __init__(self, status: int, code: str, message: str, details: object) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True)
class Accepted:
    """A 202, or a new deployment: the started operation and its deployment."""

    operation_id: str
    deployment_id: str


class Api:
    """Calls under `/v1` with a bearer token.

    Args:
        base_url: address of the API with or without `/v1`.
        token: bearer token; the calls of people and machines look the same.
    """

    def __init__(self, base_url: str, token: str = "") -> None:
        self.root = base_url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(headers=headers, timeout=REQUEST_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def raw(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One raw request: `path` starts with a slash and is relative to the root."""
        return self._http.request(method, self.root + path, **options)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """One request under `/v1`; returns `data` of the envelope or raises `ApiError`."""
        response = self.raw(method, f"/v1{path}", json=body)
        try:
            envelope = response.json()
        except ValueError:
            raise ApiError(response.status_code, "NOT_JSON", response.text[:500], None) from None
        if response.is_success:
            data: Json = envelope["data"]
            return data
        error = envelope.get("error", {})
        raise ApiError(response.status_code, error.get("code", "?"), error.get("message", ""), error.get("details"))

    def create_organization(self, slug: str, **fields: Any) -> Json:
        """Create an organization with room for many projects."""
        body = {"name": slug.title(), "slug": slug, "type": "enterprise", "plan": "enterprise"}
        return self.call("POST", "/organizations", {**body, "max_projects": 100, **fields})

    def create_project(self, organization_id: str, slug: str, repository_url: str) -> Json:
        """Create a project of a git repository."""
        body = {
            "name": slug.title(),
            "slug": slug,
            "repository_url": repository_url,
            "repository_type": "git",
            "visibility": "private",
            "template_type": "microservice",
        }
        return self.call("POST", f"/organizations/{organization_id}/projects", body)

    def create_feature(self, project_id: str, name: str) -> Json:
        """Create a requirement and its one feature; returns the feature."""
        requirement = self.call(
            "POST",
            f"/projects/{project_id}/requirements",
            {
                "title": f"{name} runs",
                "description": f"{name} is built and deployed by the engine.",
                "acceptance_criteria": [f"{name} serves traffic"],
                "priority": "high",
            },
        )
        body = {"name": name, "description": f"The {name} service", "complexity_points": 3}
        return self.call("POST", f"/requirements/{requirement['id']}/features", body)

    def build_and_deploy(self, feature_id: str, version: str, **options: Any) -> Accepted:
        """Request a build and its deployment; by default into `dev`, blue-green and from `main`."""
        body = {
            "version_tag": version,
            "git_branch": "main",
            "environment": "dev",
            "deployment_strategy": "blue_green",
            **options,
        }
        data = self.call("POST", f"/features/{feature_id}/build-and-deploy", body)
        return Accepted(operation_id=data["operation_id"], deployment_id=data["resource_id"])

    def deploy(self, build_id: str, **options: Any) -> Accepted:
        """Deploy an existing build; by default rolling and into `dev`."""
        return self._made(f"/builds/{build_id}/deploy", {"environment": "dev", **options})

    def retry(self, deployment_id: str, reason: str) -> Accepted:
        """Create a new deployment of a finished one that did not succeed."""
        return self._made(f"/deployments/{deployment_id}/retry", {"reason": reason})

    def promote_again(self, deployment_id: str, reason: str) -> Accepted:
        """Create a new deployment, without analysis, of a finished one that did not succeed."""
        return self._made(f"/deployments/{deployment_id}/promote", {"reason": reason})

    def _made(self, path: str, body: Json) -> Accepted:
        data = self.call("POST", path, body)
        return Accepted(operation_id=data["operation_id"], deployment_id=data["id"])

    def operation(self, operation_id: str) -> Json:
        """The current state of the operation."""
        return self.call("GET", f"/operations/{operation_id}")

    def deployment(self, deployment_id: str) -> Json:
        """The current state of the deployment."""
        return self.call("GET", f"/deployments/{deployment_id}")

    def build(self, build_id: str) -> Json:
        """The current state of the build."""
        return self.call("GET", f"/builds/{build_id}")

    def environment(self, project_id: str, name: str = "dev") -> Json:
        """The environment, with the `url` of its service."""
        return self.call("GET", f"/projects/{project_id}/environments/{name}")

    def rollback(self, deployment_id: str, reason: str) -> Json:
        """Send the traffic back to the previous healthy release."""
        return self.call("POST", f"/deployments/{deployment_id}/rollback", {"reason": reason})

    def wait(self, operation_id: str, timeout: float, seen: Callable[[Json], None] = lambda _: None) -> Json:
        """Poll until the operation has finished; `seen` is called with every answer.

        Raises:
            TimeoutError: it had not finished after `timeout` seconds; the message contains its state.
        """
        deadline = time.monotonic() + timeout
        while True:
            operation = self.operation(operation_id)
            seen(operation)
            if operation["status"] in FINISHED:
                return operation
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"operation {operation_id} is still {operation['status']} after {timeout:g} s, "
                    f"at {operation.get('progress_percent')} %: {operation.get('current_step')}"
                )
            time.sleep(POLL_SECONDS)


class Service:
    """A deployed service behind the ingress: dials the ingress and names the service in the Host header.

    Not every resolver resolves names under `.localhost`, so no name is looked up here.
    """

    def __init__(self, url: str, ingress: str, *, keeps_cookies: bool = False) -> None:
        self._keeps_cookies = keeps_cookies
        self.host = urlsplit(url).netloc
        address = urlsplit(ingress if "//" in ingress else f"//{ingress}")
        self.dial = f"http://127.0.0.1:{address.port}"
        self._http = httpx2.Client(headers={"host": self.host}, timeout=60, trust_env=False)

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """One request to the service, without cookies unless this is a `user`."""
        if not self._keeps_cookies:
            self._http.cookies.clear()
        return self._http.get(self.dial + path, headers=headers)

    def user(self) -> "Service":
        """A user with their own connection and cookies; the caller closes it."""
        return Service(f"//{self.host}", self.dial, keeps_cookies=True)

    def version(self) -> str:
        """The version that answers now; raises unless the status is 200."""
        return str(self.get("/version").raise_for_status().json()["version"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
