"""Logs of what runs, on the wire."""

from api.schemas.base import Timestamp, View


class LogLineView(View):
    """One line; `time` is when it was written, to a tenth of a second, null where nobody noted it."""

    time: Timestamp | None
    instance: str
    text: str


class InstanceLogsView(View):
    """The newest lines of a deployment's instances, oldest first; `truncated`: there are older ones."""

    instances: list[str]
    lines: list[LogLineView]
    truncated: bool
