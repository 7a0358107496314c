"""A small client of the engine's API: speaks the contract's envelopes and raises its errors with their codes."""

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
    """The API said no. `status` is HTTP's, `code` and `details` are the contract's."""

    def __init__(self, status: int, code: str, message: str, details: object) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True)
class Accepted:
    """A 202, or a deployment just made: the operation that was started and the deployment it makes."""

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
        """One request as it is: `path` starts with a slash and stands under the root."""
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
        """Ask for a build and its deployment; into `dev`, blue-green and from `main` unless said otherwise."""
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
        """Bring a build that exists into an environment; rolling and into `dev` unless said otherwise."""
        return self._made(f"/builds/{build_id}/deploy", {"environment": "dev", **options})

    def retry(self, deployment_id: str, reason: str) -> Accepted:
        """Make a new deployment of one that is finished and did not succeed."""
        return self._made(f"/deployments/{deployment_id}/retry", {"reason": reason})

    def promote_again(self, deployment_id: str, reason: str) -> Accepted:
        """Make a new deployment, without analysis, of one that is finished and did not succeed."""
        return self._made(f"/deployments/{deployment_id}/promote", {"reason": reason})

    def _made(self, path: str, body: Json) -> Accepted:
        data = self.call("POST", path, body)
        return Accepted(operation_id=data["operation_id"], deployment_id=data["id"])

    def operation(self, operation_id: str) -> Json:
        """The operation as it is now."""
        return self.call("GET", f"/operations/{operation_id}")

    def deployment(self, deployment_id: str) -> Json:
        """The deployment as it is now."""
        return self.call("GET", f"/deployments/{deployment_id}")

    def build(self, build_id: str) -> Json:
        """The build as it is now."""
        return self.call("GET", f"/builds/{build_id}")

    def environment(self, project_id: str, name: str = "dev") -> Json:
        """The environment, with the `url` its service is reached under."""
        return self.call("GET", f"/projects/{project_id}/environments/{name}")

    def rollback(self, deployment_id: str, reason: str) -> Json:
        """Send the traffic back to the previous healthy release."""
        return self.call("POST", f"/deployments/{deployment_id}/rollback", {"reason": reason})

    def wait(self, operation_id: str, timeout: float, seen: Callable[[Json], None] = lambda _: None) -> Json:
        """Poll until the operation has finished; `seen` gets every answer.

        Raises:
            TimeoutError: it had not finished after `timeout` seconds; the message says where it stood.
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

    Names under `.localhost` are not resolved by every resolver, so nothing here looks one up.
    """

    def __init__(self, url: str, ingress: str, *, keeps_cookies: bool = False) -> None:
        self._keeps_cookies = keeps_cookies
        self.host = urlsplit(url).netloc
        address = urlsplit(ingress if "//" in ingress else f"//{ingress}")
        self.dial = f"http://127.0.0.1:{address.port}"
        self._http = httpx2.Client(headers={"host": self.host}, timeout=60, trust_env=False)

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """One request to the service. It brings no cookies, unless this is a `user`."""
        if not self._keeps_cookies:
            self._http.cookies.clear()
        return self._http.get(self.dial + path, headers=headers)

    def user(self) -> "Service":
        """Somebody with a connection and cookies of their own; to be closed by the caller."""
        return Service(f"//{self.host}", self.dial, keeps_cookies=True)

    def version(self) -> str:
        """The version that answers now; raises for anything but a 200."""
        return str(self.get("/version").raise_for_status().json()["version"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
