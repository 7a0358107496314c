"""Logs of instances in responses."""

from api.schemas.base import Timestamp, View


class LogLineView(View):
    """One line; `time` is when it was written, to a tenth of a second, null if unknown."""

    time: Timestamp | None
    instance: str
    text: str


class InstanceLogsView(View):
    """The newest lines of a deployment's instances, oldest first; `truncated`: older lines exist."""

    instances: list[str]
    lines: list[LogLineView]
    truncated: bool
