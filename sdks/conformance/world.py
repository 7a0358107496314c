"""The real stack for the suite: one organization for each language, and a service of its own to build and deploy."""

import itertools
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from drivers.folders import remove_tree
from examples.client import Api, Json
from examples.repository import ServiceRepository
from sdks.conformance.scenario import App as Wanted
from tests.support.platform import App, Platform

# Webhooks may come to the suite itself.
RECEIVERS: Final = {"DELIVERY_EGRESS_NETWORKS": "127.0.0.0/8", "DELIVERY_WEBHOOK_PORTS": "any"}


class Home:
    """One language's organization on a running stack. `World` of `play`.

    Args:
        address: of the API.
        token: of a platform admin.
        repositories: folder for the service's repository, which the stack can read.
        language: part of the organization's name.
    """

    def __init__(self, address: str, token: str, repositories: Path, language: str) -> None:
        self._api = Api(address, token)
        self._token = token
        self._slug = f"{language}-{secrets.token_hex(4)}"
        self._repositories = repositories
        self._versions = (f"1.0.{number}" for number in itertools.count())
        self._organization: Json | None = None
        self._app: App | None = None

    @property
    def organization(self) -> Json:
        """Made when it is asked for."""
        if self._organization is None:
            self._organization = self._api.create_organization(self._slug)
        return self._organization

    # What an App wants of its platform.
    @property
    def api(self) -> Api:
        return self._api

    def names(self) -> Mapping[str, Any]:
        return {"api": f"{self._api.root}/v1", "token": self._token, "organization": self.organization["id"]}

    def commit(self, app: Wanted) -> Mapping[str, Any]:
        if self._app is None:
            repository = ServiceRepository(self._repositories / self._slug)
            self._app = App(self, self._slug, repository)  # type: ignore[arg-type]  # all that it takes of a platform
        files = {"delivery.yaml": self._app.spec(**app.spec), **app.files}
        version = next(self._versions)
        commit = self._app.repository.commit(version, fault=app.fault, files=files)
        known = {"project": self._app.project["id"], "feature": self._app.feature["id"]}
        return {**known, "version": version, "commit": commit, "repository": self._app.repository.url}

    def ask(self, verb: str, path: str, body: object) -> tuple[int, Any]:
        answer = self._api.raw(verb, f"/v1{path}", json=body)
        return answer.status_code, answer.json() if answer.content else None

    def close(self) -> None:
        """Close the connections."""
        self._api.close()


@contextmanager
def started() -> Iterator[Platform]:
    """A stack of the suite's own, in a short path (unix sockets)."""
    folder = Path(tempfile.mkdtemp(prefix="de conf-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        platform = Platform(folder / "data", folder / "repositories", RECEIVERS)
        try:
            yield platform
        finally:
            platform.close()
    finally:
        remove_tree(folder)
