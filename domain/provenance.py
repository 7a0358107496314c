"""What an artifact was made of, by whom and how: SLSA provenance v1 in an in-toto statement v1.

https://slsa.dev/spec/v1.1/provenance, https://github.com/in-toto/attestation/tree/main/spec/v1
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.strict_json import strict_json

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
# docs/provenance.md says what it means; what is built in another way gets another one.
BUILD_TYPE: Final = "urn:delivery-engine:build-type:v1"
_SHA256: Final = "sha256:"
# Of an address: what may stand in a URI as it is.
_IN_URI: Final = "/:@!$&'()*+,;=-._~%[]"


class Policy(StrEnum):
    """What a deployment does about a build whose provenance does not hold.

    `OFF`: nobody looks. `WARN`: it is told, and deployed. `ENFORCE`: it is refused; a build from before provenance was
    kept has none, which is told. `ALWAYS`: such a build is refused, too.
    """

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"
    ALWAYS = "always"


@dataclass(frozen=True)
class Document:
    """Something made beside the artifact. `digest`: `sha256:<hex>` of its text."""

    name: str
    media_type: str
    digest: str
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Made:
    """Everything that a provenance says.

    `repository`, `branch`, `commit`, `source_path`: of the sources. `spec`: delivery.yaml as it was understood.
    `isolated`: whether the build ran in a sandbox; None: it is not known. `tests`: their counts, if there were any.
    """

    organization_id: UUID
    project_id: UUID
    build_id: UUID
    operation_id: UUID
    name: str
    version_tag: str
    digest: str
    repository: str
    branch: str
    commit: str
    source_path: str
    spec: Mapping[str, Any]
    builder_id: str
    builder_version: str
    isolated: bool | None
    started_at: datetime | None
    finished_at: datetime
    documents: Sequence[Document] = ()
    tests: Mapping[str, Any] | None = None


def statement_of(made: Made) -> bytes:
    """The statement as JSON: the same facts always give the same bytes."""
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": f"{made.name}-{made.version_tag}.tar", "digest": _digest(made.digest)}],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": _definition(made), "runDetails": _run(made)},
    }
    return _json(statement)


def _definition(made: Made) -> dict[str, Any]:
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "repository": made.repository,
            "ref": f"refs/heads/{made.branch}",
            "sourcePath": made.source_path,
            "versionTag": made.version_tag,
            "deliverySpec": {"digest": {"sha256": spec_digest(made.spec)}},
        },
        "internalParameters": {
            "organizationId": str(made.organization_id),
            "projectId": str(made.project_id),
            "buildId": str(made.build_id),
            **({} if made.isolated is None else {"isolated": made.isolated}),
        },
        "resolvedDependencies": [{"uri": source_uri(made), "digest": {"gitCommit": made.commit}}],
    }


def _run(made: Made) -> dict[str, Any]:
    metadata = {
        "invocationId": str(made.operation_id),
        "startedOn": _moment(made.started_at) if made.started_at else None,
        "finishedOn": _moment(made.finished_at),
    }
    byproducts = [
        {
            "name": each.name,
            "mediaType": each.media_type,
            "digest": _digest(each.digest),
            **({"annotations": dict(each.facts)} if each.facts else {}),
        }
        for each in made.documents
    ]
    if made.tests:
        # A descriptor needs an address, a digest or its content: the counts themselves.
        counts = base64.b64encode(_canonical(made.tests)).decode()
        byproducts.append({"name": "tests", "mediaType": "application/json", "content": counts})
    return {
        "builder": {"id": made.builder_id, "version": {"delivery-engine": made.builder_version}},
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "byproducts": byproducts,
    }


def source_uri(made: Made) -> str:
    """Where the sources are, as SPDX and SLSA write it: `git+https://...@refs/heads/main`."""
    return f"git+{quote(made.repository, safe=_IN_URI)}@refs/heads/{quote(made.branch, safe=_IN_URI)}"


def spec_digest(spec: Mapping[str, Any]) -> str:
    """SHA-256 of a delivery spec as JSON with sorted names and without spaces, in hexadecimal digits."""
    return hashlib.sha256(_canonical(spec)).hexdigest()


class _Read(BaseModel):
    """A part of a statement, as we write it; newer versions may add to it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Digest(_Read):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(_Read):
    digest: _Digest


class _Parameters(_Read):
    repository: str
    versionTag: str  # noqa: N815 - the document's name


class _Internal(_Read):
    organizationId: str  # noqa: N815 - as JSON has it
    projectId: str  # noqa: N815 - as JSON has it
    buildId: str  # noqa: N815 - as JSON has it


class _Commit(_Read):
    gitCommit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]  # noqa: N815 - as JSON has it


class _Source(_Read):
    digest: _Commit


class _Definition(_Read):
    buildType: Literal["urn:delivery-engine:build-type:v1"]  # noqa: N815 - as JSON has it
    externalParameters: _Parameters  # noqa: N815 - as JSON has it
    internalParameters: _Internal  # noqa: N815 - as JSON has it
    resolvedDependencies: Annotated[list[_Source], Field(min_length=1, max_length=1)]  # noqa: N815 - as JSON has it


class _Builder(_Read):
    id: str


class _Run(_Read):
    builder: _Builder


class _Predicate(_Read):
    buildDefinition: _Definition  # noqa: N815 - as JSON has it
    runDetails: _Run  # noqa: N815 - as JSON has it


class Statement(_Read):
    """What a deployment looks at."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicateType: Literal["https://slsa.dev/provenance/v1"]  # noqa: N815 - as JSON has it
    predicate: _Predicate

    @property
    def repository(self) -> str:
        """Where the sources came from."""
        return self.predicate.buildDefinition.externalParameters.repository


@dataclass(frozen=True)
class Expected:
    """What the record says of the build that is to be deployed.

    `commit` may be the beginning of one, as people report it. `repository`: the project's; None: whichever it was,
    since a release that served before is brought back. `builders`: whom this engine believes.
    """

    organization_id: UUID
    project_id: UUID
    build_id: UUID
    version_tag: str
    digest: str
    commit: str
    repository: str | None
    builders: Collection[str]


def read_statement(payload: bytes) -> Statement:
    """The statement of a payload whose signature was checked.

    Raises:
        ValueError: it is not what `statement_of` makes; the message is the second half of a sentence.
    """
    try:
        return Statement.model_validate(strict_json(payload))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        msg = f"is no provenance of ours: {place[:128]}: {fault['msg']}"
        raise ValueError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"is no provenance of ours: {error}"
        raise ValueError(msg) from error


def fault_of(statement: Statement, expected: Expected) -> str | None:
    """Why a statement is not about this build; None: it is. The second half of a sentence."""
    definition = statement.predicate.buildDefinition
    outside, inside = definition.externalParameters, definition.internalParameters
    commit, builder = definition.resolvedDependencies[0].digest.gitCommit, statement.predicate.runDetails.builder.id
    digest = f"{_SHA256}{statement.subject[0].digest.sha256}"
    place = (inside.organizationId, inside.projectId)
    wanted = (str(expected.organization_id), str(expected.project_id))
    repository = expected.repository or outside.repository
    checks = (
        (inside.buildId == str(expected.build_id), f"build, {inside.buildId[:64]}"),
        (place == wanted, f"project, {inside.projectId[:64]}"),
        (digest == expected.digest, f"artifact, {digest}; the record has {expected.digest[:80]}"),
        (commit.startswith(expected.commit.lower()), f"commit, {commit}; the record has {expected.commit[:64]}"),
        (outside.versionTag == expected.version_tag, f"version, {outside.versionTag[:64]}"),
        (
            is_same_place(outside.repository, repository),
            f"repository, {outside.repository[:200]}; the project's is {repository[:200]}",
        ),
        (builder in expected.builders, f"builder, {builder[:200]}"),
    )
    return next((f"is of another {what}" for holds, what in checks if not holds), None)


def is_same_place(one: str, other: str) -> bool:
    """As people write the address of one repository: with an ending or without."""
    return one.rstrip("/").removesuffix(".git") == other.rstrip("/").removesuffix(".git")


def _digest(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix(_SHA256)}


def _moment(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _canonical(value: Mapping[str, Any]) -> bytes:
    """Names in order, no spaces, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
