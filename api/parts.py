"""The parts a running API is made of, and how a request gets at them."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.auth.tokens import TokenVerifier
from api.health import Health
from api.ports import OperationsPort
from api.progress import ProgressReader
from api.reading import DeploymentReader
from api.watching import Watch
from runtime.sealing import Sealer
from runtime.settings import Settings
from storage.engine import Sessions


@dataclass(frozen=True)
class Parts:
    """Made in the lifespan, gone with it."""

    settings: Settings
    sessions: Sessions
    operations: OperationsPort
    progress: ProgressReader
    watch: Watch
    deployments: DeploymentReader
    verifier: TokenVerifier
    health: Health
    sealer: Sealer


async def get_parts(request: Request) -> Parts:
    """The parts of the application a request came to."""
    return cast("Parts", request.app.state.parts)


AppParts = Annotated[Parts, Depends(get_parts)]
