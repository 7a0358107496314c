"""Settings of an environment: lock policy, approval rule, deployment windows."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.types import FailFast

from domain.approvals import ApprovalPolicy
from domain.deployment_lock import TurnPolicy
from domain.few_fields import few_fields
from domain.windows import STORED, Window, WindowKind, check_together

MAX_WINDOWS = 50

# The check stops at the first bad one: nobody needs the same message fifty times.
Windows = Annotated[tuple[Window, ...], Field(max_length=MAX_WINDOWS), FailFast()]


class GuardChangeStatus(StrEnum):
    """The status of a change; `expired` is one that was not decided in time, and is stored as pending."""

    PENDING = "pending"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"


class ApprovalRule(BaseModel):
    """Whether every deployment here needs approval, by how many people, and whether the requester counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required: bool = Field(default=False, strict=True)
    min_approvals: int = Field(default=1, ge=1, le=10, strict=True)
    four_eyes: bool = Field(default=True, strict=True)

    _few = model_validator(mode="before")(few_fields)

    def policy(self) -> ApprovalPolicy | None:
        """The approval policy; None if deployments start without approval."""
        return ApprovalPolicy(min_approvals=self.min_approvals, four_eyes=self.four_eyes) if self.required else None


class EnvironmentSettings(BaseModel):
    """Settings of an environment; the defaults apply until they are set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    policy: TurnPolicy = TurnPolicy.QUEUE
    approval: ApprovalRule | None = None
    windows: Windows = ()

    @field_validator("windows")
    @classmethod
    def _go_together(cls, windows: tuple[Window, ...], info: ValidationInfo) -> tuple[Window, ...]:
        if info.context != STORED:
            check_together(windows)
        return windows

    @classmethod
    def stored(cls, settings: Mapping[str, Any]) -> Self:
        """Settings as stored: accepted values are read even if the rules are stricter by now."""
        return cls.model_validate(settings, context=STORED, extra="ignore")

    def changed(self, changes: Mapping[str, Any]) -> "EnvironmentSettings":
        """These settings with some fields replaced, each as a whole."""
        return self.model_copy(update=dict(changes))


# From loose to tight: `supersede` ends deployments that others approved; `reject` never leaves one waiting.
_TIGHTNESS = (TurnPolicy.SUPERSEDE, TurnPolicy.QUEUE, TurnPolicy.REJECT)


def protection_of(settings: EnvironmentSettings) -> ApprovalPolicy | None:
    """The approvals for a change that weakens an environment's guards: as for a deployment. None: no rule."""
    return settings.approval.policy() if settings.approval else None


def weakened(before: EnvironmentSettings, after: EnvironmentSettings) -> tuple[str, ...]:
    """The fields of a protected environment's settings that a change weakens; none without an approval rule.

    A change that is not certainly stricter counts as weaker: another deny window, or a moved allow window.
    """
    rule = protection_of(before)
    if rule is None:
        return ()
    loosened = {
        "approval": rule.stricter(protection_of(after)) != protection_of(after),
        "windows": not _windows_hold(before.windows, after.windows),
        "policy": _TIGHTNESS.index(after.policy) < _TIGHTNESS.index(before.policy),
    }
    return tuple(name for name, is_looser in loosened.items() if is_looser)


def _windows_hold(before: Windows, after: Windows) -> bool:
    """Whether the change never allows a deployment at a moment when it was not allowed before."""
    frozen = [window for window in before if window.kind is WindowKind.DENY]
    opened = [window for window in after if window.kind is WindowKind.ALLOW]
    allowed = [window for window in before if window.kind is WindowKind.ALLOW]
    if any(window not in after for window in frozen):
        return False
    return not allowed or (bool(opened) and all(window in allowed for window in opened))
