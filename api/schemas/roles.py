"""Roles on the wire."""

from api.schemas.base import View
from domain.permissions import Role, Scope


class RoleView(View):
    """A role and what it grants; `assignable`: whether an organization's admins can give it."""

    name: Role
    description: str
    assignable: bool
    permissions: list[Scope]
