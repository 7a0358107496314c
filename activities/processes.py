"""Process types beside the service: no port and no health check, so that well is what stays alive."""

import asyncio
from uuid import UUID

from activities.exits import MAX_TAIL, exited
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.instances import Lives, ReleaseInstances, read_release
from activities.records import refuse_if_over
from activities.recovery import MAX_RESTARTS, InstanceRecovery, instance_id, row_spec
from activities.secrets import ProjectSecrets
from contracts.payload import Nothing
from contracts.rollouts import START_PROCESSES, STOP_PROCESSES, StartProcesses, StopProcesses
from contracts.stubs import implements
from domain.delivery_spec import ProcessSpec
from domain.errors import ConflictError, ErrorCode, TerminalError
from domain.lifecycle import ReleaseState
from domain.masking import masked
from drivers.targets.base import InstancePhase, InstanceStatus, Target
from storage.engine import Sessions, transaction
from storage.models import Instance
from storage.repositories.releases import InstanceRepository, ReleaseRepository

LOOK_EVERY_S = 0.1
RUNS = (ReleaseState.STARTING, ReleaseState.ACTIVE)


class ProcessActivities:
    """Drives a target."""

    def __init__(
        self, *, sessions: Sessions, secrets: ProjectSecrets, target: Target, recovery: InstanceRecovery
    ) -> None:
        self._sessions = sessions
        self._secrets = secrets
        self._target = target
        self._recovery = recovery

    @implements(START_PROCESSES)
    @translate_errors
    async def start(self, request: StartProcesses) -> Nothing:
        await refuse_if_over(self._sessions)
        async with heartbeating():
            # Written down first: from here on the reconciler brings them up as well, whatever becomes of us.
            if not await self._put(request.release_id):
                raise _stopped()
            known = await read_release(self._sessions, request.release_id)
            secrets = await self._variables(known)
            for row in known.beside:
                status = await self._target.start(row_spec(known.release, row, secrets, known.project_id))
                if not await self._put(request.release_id):
                    await self._target.stop(status.instance_id)
                    raise _stopped()
            if request.judged:
                await self._until_all_stay(known)
        return Nothing()

    @implements(STOP_PROCESSES)
    @translate_errors
    async def stop(self, request: StopProcesses) -> Nothing:
        await refuse_if_over(self._sessions)
        known = await read_release(self._sessions, request.release_id)
        if known.release.state not in RUNS:
            async with heartbeating():
                await asyncio.gather(*(self._target.stop(row.id) for row in known.beside))
        return Nothing()

    async def _put(self, release_id: UUID) -> bool:
        """Write down what is to run; False: the release does not run any more."""
        async with transaction(self._sessions) as session:
            release = await ReleaseRepository(session).get(release_id, lock=True)
            if release.state not in RUNS:
                return False
            for type_, stored in release.processes.items():
                for index in range(ProcessSpec.model_validate(stored).count):
                    name = instance_id(release.id, index, type_)
                    await InstanceRepository(session).put_beside(
                        instance_id=name, release_id=release_id, type_=type_, index=index
                    )
            return True

    async def _variables(self, known: ReleaseInstances) -> dict[str, str]:
        async with transaction(self._sessions) as session:
            return await self._secrets.of_release(session, known.release)

    async def _until_all_stay(self, known: ReleaseInstances) -> None:
        """The first that does not ends the wait for the others."""
        waits = [asyncio.create_task(self._until_it_stays(known, row)) for row in known.beside]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _until_it_stays(self, known: ReleaseInstances, row: Instance) -> None:
        """Wait until the process is `min_uptime` seconds old. An end from outside (a reboot) is no failure."""
        process = ProcessSpec.model_validate(known.release.processes[row.type])
        lives = Lives(process.min_uptime)
        while True:
            status = await self._target.inspect(row.id)
            lives.see(status)
            if lives.too_many or status.restarts >= MAX_RESTARTS:
                raise await self._exited(known, row, process, status)
            if status.gone:
                if await self._recovery.recover(row.id):
                    lives.began_again()
            elif status.phase is InstancePhase.RUNNING and (status.running_s or 0) >= process.min_uptime:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _exited(
        self, known: ReleaseInstances, row: Instance, process: ProcessSpec, status: InstanceStatus
    ) -> TerminalError:
        tail = await self._target.log_tail(row.id, 2 * MAX_TAIL)  # so that no secret is cut in two by what is shown
        tail = masked(tail, (await self._variables(known)).values())[-MAX_TAIL:]
        return exited(
            status,
            tail,
            who=f"the process type `{row.type}`",
            before=f"it had stayed up for {process.min_uptime:g} s",
            advice=(
                f"; what ends by itself is no process type: run it as the release command, or "
                f"leave it out with `processes: {{{row.type}: {{count: 0}}}}` in delivery.yaml"
            ),
            facts={"process_type": row.type},
        )


def _stopped() -> ConflictError:
    return ConflictError("the release was stopped meanwhile", code=ErrorCode.INVALID_STATE)
