"""All commands, with one line each: what `delivery --help` shows without importing any of them.

A test compares the lines with the commands' own.
"""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A command: where it is written, and what it does."""

    section: str
    module: str
    summary: str


SHIP: Final = "Ship"
DECIDE: Final = "Decide"
LOOK: Final = "Look"
SETTLE: Final = "Settle"
ACCESS: Final = "Access"

COMMANDS: Final[dict[str, Entry]] = {
    "init": Entry(SHIP, "init", "Write a commented delivery.yaml for the repository at hand"),
    "validate": Entry(SHIP, "validate", "Check delivery.yaml; name line and key of each fault"),
    "deploy": Entry(SHIP, "deploy", "Build the commit at hand and deploy it"),
    "status": Entry(SHIP, "status", "How far a deployment is; --watch follows it"),
    "logs": Entry(SHIP, "logs", "What its build and its instances print; -f follows"),
    "approve": Entry(DECIDE, "decide", "Let a deployment that waits for approval go on"),
    "reject": Entry(DECIDE, "decide", "Refuse a deployment that waits for approval"),
    "pause": Entry(DECIDE, "decide", "Hold a rollout where it is"),
    "resume": Entry(DECIDE, "decide", "Let a held rollout go on"),
    "promote": Entry(DECIDE, "decide", "Go to the next step, or with --full to all of the traffic"),
    "abort": Entry(DECIDE, "decide", "Stop a rollout and send its traffic back"),
    "retry": Entry(DECIDE, "retry", "Deploy once more what did not succeed"),
    "rollback": Entry(DECIDE, "rollback", "Return to the version before, or to a given one"),
    "history": Entry(LOOK, "history", "The deployments of a project, newest first"),
    "diff": Entry(LOOK, "diff", "What a deployment would bring, or brought, commit by commit"),
    "audit": Entry(LOOK, "audit", "Who did what"),
    "open": Entry(LOOK, "open", "Open the service, the documents or the workflow in a browser"),
    "env": Entry(SETTLE, "env", "Environments: release, lock, queue, windows, approval"),
    "secrets": Entry(SETTLE, "secrets", "Secrets of a project; values come from standard input or a file"),
    "keys": Entry(SETTLE, "keys", "API keys of the organization"),
    "webhooks": Entry(SETTLE, "webhooks", "Webhooks; `listen` verifies and shows them live"),
    "login": Entry(ACCESS, "login", "Log in through the browser, or with an API key from standard input"),
    "logout": Entry(ACCESS, "login", "Forget the login, and revoke it"),
    "whoami": Entry(ACCESS, "whoami", "Who the server takes you for"),
    "completion": Entry(ACCESS, "completion", "Print completion for bash, zsh or fish"),
}

EXAMPLES: Final = (
    ("delivery login http://127.0.0.1:8080", "once"),
    ("delivery init", "writes delivery.yaml"),
    ("delivery deploy --watch", "builds the commit at hand, deploys it to dev, and shows it live"),
    ("delivery status --json status,version_tag", "for programs; --jq filters"),
)
