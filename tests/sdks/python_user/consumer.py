"""A program of a user who checks types strictly: it is never run, only checked (tests/sdks/test_python_types.py)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import httpx2
from ai_agents import (
    NOT_GIVEN,
    AIAgentsError,
    APIError,
    AsyncClient,
    AsyncOperationHandle,
    AsyncPage,
    Client,
    LogLine,
    OperationFailedError,
    OperationHandle,
    Page,
    RawResponse,
    Tokens,
    errors,
    models,
    params,
    webhooks,
)
from typing_extensions import assert_type


def told(tokens: Tokens) -> None:
    print(tokens.refresh_token)


def progress(operation: models.Operation) -> None:
    print(operation.progress_percent + 1, [step.name for step in operation.steps])


def sync() -> None:
    client = Client(
        base_url="https://api.example.com/v1",
        client_id="c",
        client_secret="s",
        on_tokens=told,
        http_client=httpx2.Client(),
    )
    page = client.projects.list(org_id="o", status="active", timeout=3, extra_headers={"X-Team": "shop"})
    assert_type(page, Page[models.Project])
    for project in page:
        assert_type(project, models.Project)
        assert_type(project.name, str)
        assert_type(project.created_at, datetime)
        assert_type(project.description, "str | None")
    story: params.UserStory = {"title": "t", "acceptance_criteria": ["a"]}
    requirement = client.requirements.create(
        "p", title="t", description="d", acceptance_criteria=["a"], user_stories=[story], idempotency_key="k"
    )
    assert_type(requirement, models.Requirement)
    client.requirements.update(requirement.id, estimated_effort_points=None, status=NOT_GIVEN)
    operation = client.features.build_and_deploy("f", version_tag="1.0.0", environment="dev", max_retries=0)
    assert_type(operation, OperationHandle)
    assert_type(operation.wait(timeout=3, on_progress=progress), models.Operation)
    try:
        assert_type(operation.result(), models.Deployment)
    except OperationFailedError as error:
        print(error.code, error.steps)
    changed = client.environments.update("p", "production", approval={"required": True})
    assert_type(changed, "models.Environment | models.GuardChange")
    raw = client.projects.with_raw_response.get("p")
    assert_type(raw, RawResponse[models.Project])
    assert_type(raw.parsed(), models.Project)
    for line in client.builds.follow_logs("b"):
        assert_type(line, LogLine)
    document: dict[str, Any] = client.builds.sbom("b", format="cyclonedx")
    print(document, client.audit_log.list("o", since=datetime.now(timezone.utc)).total)
    try:
        client.projects.delete("p")
    except errors.DuplicateSlugError as error:
        print(error.status, error.code, error.details)
    except (APIError, AIAgentsError) as error:
        print(error.message)
    event = webhooks.verify(b"", {}, ["whsec_a", "whsec_b"])
    if isinstance(event, models.DeploymentCompletedEvent):
        assert_type(event.data.deployment.id, str)


async def asynchronous() -> None:
    async def token() -> str:
        return "t"

    async with AsyncClient(base_url="https://api.example.com", token=token) as client:
        page = await client.projects.list(org_id="o")
        assert_type(page, AsyncPage[models.Project])
        async for project in page:
            assert_type(project, models.Project)
        operation = await client.operations.resume("o")
        assert_type(operation, AsyncOperationHandle)
        assert_type(await operation.result(timeout=3), models.Deployment)
        raw = await client.projects.with_raw_response.get("p")
        assert_type(raw.parsed(), models.Project)
        async with client.builds.follow_logs("b", step="build") as lines:
            async for line in lines:
                assert_type(line, LogLine)


if __name__ == "__main__":
    sync()
    asyncio.run(asynchronous())
