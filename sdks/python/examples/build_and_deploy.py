"""Builds a feature's version and deploys it, by asyncio: `python build_and_deploy.py FEATURE VERSION ENVIRONMENT`.

Ctrl-C leaves the operation running; `python build_and_deploy.py OPERATION` waits for it again.
"""

import asyncio
import sys

from ai_agents import AsyncClient, OperationFailedError
from ai_agents.models import Operation


def show(operation: Operation) -> None:
    sys.stdout.write(f"{operation.progress_percent} % {operation.current_step or operation.status}\n")


async def main(arguments: list[str]) -> int:
    async with AsyncClient() as client:  # AI_AGENTS_BASE_URL and AI_AGENTS_API_KEY
        if len(arguments) == 1:
            operation = await client.operations.resume(arguments[0])
        else:
            feature_id, version, environment = arguments
            operation = await client.features.build_and_deploy(
                feature_id, version_tag=version, environment=environment, deployment_strategy="blue_green"
            )
        sys.stdout.write(f"operation {operation.id}\n")
        try:
            deployment = await operation.result(on_progress=show)
        except OperationFailedError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
        sys.stdout.write(f"{deployment.version_tag} is {deployment.status} in {deployment.environment}\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
