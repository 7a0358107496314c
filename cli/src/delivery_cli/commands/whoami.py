"""`delivery whoami`: who the server takes you for."""

import os

from delivery_cli.command import command
from delivery_cli.faults import Fault
from delivery_cli.run import Run, plain


@command("whoami", "delivery whoami", "delivery whoami --json role,organization")
def whoami(run: Run) -> None:
    """Who the server takes you for"""
    me = plain(run.client.users.me())
    try:
        organization = run.organization["slug"]
    except Fault:
        organization = None
    variables = [name for name in ("DELIVERY_API_KEY", "DELIVERY_TOKEN") if os.environ.get(name)]
    answer = {
        **me,
        "url": run.profile.url,
        "profile": run.profile.name,
        "organization": organization,
        "by": variables[0] if variables else "login",
    }
    run.out.answer(answer)
