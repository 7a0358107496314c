"""`delivery logs`: what the build and the instances print."""

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.output.clean import clean
from delivery_cli.run import Run, plain

Json = dict[str, Any]
MOST = 5000


class Part(StrEnum):
    """Whose lines."""

    ALL = "all"
    BUILD = "build"
    INSTANCES = "instances"


@command(
    "logs",
    "delivery logs -f",
    "delivery logs 1.4.0 --part build --step test",
    "delivery logs --env production --part instances --tail 500",
    "delivery logs -f --jq 'select(.text | test(\"ERROR\")) | .text'",
    project=True,
)
def logs(
    run: Run,
    deployment: Annotated[str | None, typer.Argument(help="Id or version. Else the newest of the project.")] = None,
    env: Annotated[str | None, typer.Option("--env", "-e", help="The newest of this environment.")] = None,
    part: Annotated[Part, typer.Option("--part", help="Of its build, of its instances, or both.")] = Part.ALL,
    step: Annotated[str | None, typer.Option("--step", help="Of the build: source, build, test or release.")] = None,
    instance: Annotated[str | None, typer.Option("--instance", help="Of this instance only.")] = None,
    tail: Annotated[int, typer.Option("--tail", "-n", min=1, max=MOST, help="So many lines of the instances.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends it.")] = False,
) -> None:
    """What its build and its instances print; -f follows

    Values of the project's secrets are masked. With --json a line is one object: part, step or instance, time, text.
    """
    found = run.deployment(deployment, env)
    wants_build = part is not Part.INSTANCES and instance is None
    wants_instances = part is not Part.BUILD and step is None
    if wants_build:
        for line in _build(run, found, step, follow=follow):
            _show(run, line)
    if wants_instances:
        for line in _instances(run, found, instance, tail, follow=follow):
            _show(run, line)


def _build(run: Run, found: Json, step: str | None, *, follow: bool) -> Iterator[Json]:
    asked: Json = {"operation_id": found["operation_id"], **({"step": step} if step else {})}
    if follow:
        for line in _followed(run.client.operations.logs(**asked, follow=True)):
            yield {"part": "build", "step": line.get("step"), "time": None, "text": line.get("text", "")}
        return
    for text in _text_lines(run.client.operations.logs(**asked)):
        yield {"part": "build", "step": step, "time": None, "text": text}


def _instances(run: Run, found: Json, instance: str | None, tail: int, *, follow: bool) -> Iterator[Json]:
    asked: Json = {"deployment_id": found["id"], "limit": tail, **({"instance": instance} if instance else {})}
    answer = run.client.deployments.logs(**asked, follow=True) if follow else run.client.deployments.logs(**asked)
    lines = _followed(answer) if follow else _whole(answer)
    for line in lines:
        yield {
            "part": "instance",
            "instance": line.get("instance"),
            "time": line.get("time"),
            "text": line.get("text", ""),
        }


def _show(run: Run, line: Json) -> None:
    whose = line.get("step") or line.get("instance") or ""
    label = f"{str(whose)[-12:]:<12} " if whose else ""
    run.out.stream(line, f"{label}{clean(str(line['text']))}")


def _followed(answer: Iterable[Any]) -> Iterator[Json]:
    """The lines of server-sent events, in whatever form the SDK gives them."""
    for event in answer:
        data = getattr(event, "data", event)
        content = json.loads(data) if isinstance(data, str) else plain(data)
        if isinstance(content, dict):
            yield from content.get("lines") or ([content] if "text" in content else ())


def _text_lines(answer: Any) -> Iterator[str]:
    text = answer if isinstance(answer, str) else "\n".join(str(one).rstrip("\n") for one in answer)
    yield from text.splitlines()


def _whole(answer: Any) -> Iterable[Json]:
    content = plain(answer)
    return content["lines"] if isinstance(content, dict) else content
