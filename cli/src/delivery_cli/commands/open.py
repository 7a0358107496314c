"""`delivery open`: in a browser."""

import webbrowser
from enum import StrEnum
from typing import Annotated

import typer

from delivery_cli.command import command
from delivery_cli.faults import Fault
from delivery_cli.run import Run, plain


class What(StrEnum):
    """What can be opened."""

    SERVICE = "service"
    DOCS = "docs"
    TEMPORAL = "temporal"


@command("open", "delivery open", "delivery open temporal 1.4.0", "delivery open docs --print", project=True)
def open_(
    run: Run,
    what: Annotated[
        What, typer.Argument(help="The service, the API's documents, or the workflow in the Temporal UI.")
    ] = What.SERVICE,
    deployment: Annotated[str | None, typer.Argument(help="For temporal: id or version. Else the newest.")] = None,
    env: Annotated[str | None, typer.Option("--env", "-e", help="The environment; dev for the service.")] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address instead.")] = False,
) -> None:
    """Open the service, the documents or the workflow in a browser

    The Temporal UI shows all organizations, so its address is told to platform admins only.
    """
    address = _address(run, what, deployment, env)
    if run.out.as_json or print_only or not webbrowser.open(address):
        run.out.answer({"url": address}, address)
    else:
        run.out.note(address)


def _address(run: Run, what: What, deployment: str | None, env: str | None) -> str:
    if what is What.DOCS:
        return f"{run.profile.url}/docs"
    if what is What.SERVICE:
        return str(plain(run.client.environments.get(project_id=run.project["id"], name=env or "dev"))["url"])
    found = run.deployment(deployment, env)
    operation = plain(run.client.operations.get(operation_id=found["operation_id"]))
    if not operation["temporal_ui_url"]:
        raise Fault(
            "the server tells you no address of its Temporal UI", "it does so for platform admins, if it has one"
        )
    return str(operation["temporal_ui_url"])
