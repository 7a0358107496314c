"""Roles in responses."""

from api.schemas.base import View
from domain.permissions import Role, Scope


class RoleView(View):
    """A role and its permissions; `assignable`: whether an organization's admins can assign it."""

    name: Role
    description: str
    assignable: bool
    permissions: list[Scope]
