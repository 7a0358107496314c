"""What reads logs, in one API process."""

from dataclasses import dataclass
from typing import Self

from api.services.logs.instances import DeploymentLogs
from api.services.logs.masks import Masks
from api.services.logs.steps import StepLogs
from api.services.operations.watch import Watch
from runtime.encryption import Sealer
from runtime.instance_logs import FolderLogs
from runtime.settings import Settings
from storage.engine import Sessions


@dataclass(frozen=True)
class Logs:
    """The logs of operations' steps, and those of what runs."""

    steps: StepLogs
    deployments: DeploymentLogs

    @classmethod
    def of(cls, settings: Settings, sessions: Sessions, watch: Watch, sealer: Sealer) -> Self:
        """`sessions`: in which each statement is a transaction."""
        masks = Masks(sessions, sealer)
        return cls(
            steps=StepLogs(settings=settings, sessions=sessions, watch=watch, masks=masks),
            deployments=DeploymentLogs(sessions=sessions, masks=masks, logs=FolderLogs(settings.data_dir)),
        )
