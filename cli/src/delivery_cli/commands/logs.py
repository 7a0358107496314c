"""`delivery logs`: what the build and the instances print."""

from collections.abc import Iterator
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
    done = plain(run.client.operations.get(operation_id=found["operation_id"]))["done"]
    if follow or done:  # then the stream ends by itself
        with run.client.operations.follow_logs(**asked) as lines:
            for line in lines:
                yield {"part": "build", "step": line.step, "instance": None, "time": None, "text": line.text}
        return
    for text in _so_far(run, asked):
        yield {"part": "build", "step": step, "instance": None, "time": None, "text": text}


def _so_far(run: Run, asked: Json) -> Iterator[str]:
    """The lines that are there now, piece by piece."""
    offset, rest = 0, ""
    while True:
        answer = run.client.operations.with_raw_response.logs_text(**asked, offset=offset)
        following = int(answer.headers.get("x-next-offset", offset))
        *lines, rest = (rest + answer.text).split("\n")
        yield from lines
        if following <= offset:
            break
        offset = following
    if rest:
        yield rest


def _instances(run: Run, found: Json, instance: str | None, tail: int, *, follow: bool) -> Iterator[Json]:
    asked: Json = {"deployment_id": found["id"], "limit": tail, **({"instance": instance} if instance else {})}
    if follow:
        with run.client.deployments.follow_logs(**asked) as lines:
            for line in lines:
                yield {
                    "part": "instance",
                    "step": None,
                    "instance": line.instance,
                    "time": line.time,
                    "text": line.text,
                }
        return
    for line in plain(run.client.deployments.logs(**asked))["lines"]:
        told = {key: line.get(key) for key in ("instance", "time", "text")}
        yield {"part": "instance", "step": None, **told}


def _show(run: Run, line: Json) -> None:
    whose = line["step"] or line["instance"] or ""
    label = f"{str(whose)[-12:]:<12} " if whose else ""
    run.out.stream(line, f"{label}{clean(str(line['text']))}")
