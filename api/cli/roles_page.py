"""`python -m api.cli roles-page`: writes docs/roles.md from the table of roles and the routes."""

import sys
from pathlib import Path
from typing import Final

from api.app import create_app
from api.openapi.traversal import Json, operations
from domain.permissions import DESCRIPTIONS, GRANTS, Role, Scope
from runtime.settings import Settings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "roles.md"
HEAD = """# Roles and permissions

Made by `python -m api.cli roles-page` from `domain/permissions.py` and from the routes; a test says when it is out of
date. The same table of roles is at `GET /v1/roles`.

A user has one role in each organization they belong to; a service account has one role. What a token may do is what
the role grants, cut down to the scopes that were asked for. Nobody gives a role that grants more than their own, nor a
service account a permission that their own token does not carry. `platform_admin` is not given inside an organization:
`python -m api.cli bootstrap-admin` makes the first one.
"""


def page() -> str:
    """The whole page."""
    document: Json = create_app(Settings()).openapi()
    return "\n".join([HEAD, *_roles(), "", *_grants(), "", *_routes(document), ""])


def _roles() -> list[str]:
    rows = [f"| `{role}` | {DESCRIPTIONS[role]} |" for role in Role]
    return ["## Roles", "", "| role | what for |", "|---|---|", *rows]


def _grants() -> list[str]:
    head = " | ".join(f"`{role}`" for role in Role)
    rows = [f"| `{scope}` | {' | '.join('yes' if scope in GRANTS[role] else '' for role in Role)} |" for scope in Scope]
    return ["## What each role grants", "", f"| permission | {head} |", f"|---|{'---|' * len(Role)}", *rows]


def _routes(document: Json) -> list[str]:
    rows = [f"| `{method.upper()} {path}` | {_needs(operation)} |" for path, method, operation in operations(document)]
    note = "Addresses under `/organizations/{org_id}` are for that organization's own; the others find what is theirs."
    return ["## What each address needs", "", note, "", "| address | permission |", "|---|---|", *rows]


def _needs(operation: Json) -> str:
    if not operation["security"]:
        return "none, and no credentials"
    return " or ".join(f"`{scope}`" for scope in operation.get("x-permissions", ())) or "any credentials"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
