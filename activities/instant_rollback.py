"""Taking a live release back in one step: the release before it still runs, so that one write moves the traffic."""

from dataclasses import dataclass
from uuid import UUID

from activities.failures import translate_errors
from activities.records import refuse_if_over
from activities.releases import nothing_before, release_ref, serves_no_more
from activities.routing import RouteWriter
from contracts.rollouts import TAKE_BACK, TakeBack, TakenBack
from contracts.stubs import implements
from domain.lifecycle import ReleaseState
from drivers.routers.base import Router
from storage.engine import Sessions, transaction
from storage.models import Release
from storage.repositories.releases import ReleaseRepository
from storage.repositories.routing import RoutingRepository

# Active: the workflow that promoted the bad one was lost before it retired the one before.
STILL_RUNS = (ReleaseState.RETIRED, ReleaseState.ACTIVE)


@dataclass(frozen=True)
class Swap:
    """Who has the traffic now, who had it, and the generation of the routes that says so."""

    target: Release
    bad: Release
    generation: int | None


class TakeBackActivity:
    """Records, routes and the roles of both releases change in one transaction, under the environment's lock."""

    def __init__(self, sessions: Sessions, router: Router, writer: RouteWriter) -> None:
        self._sessions = sessions
        self._router = router
        self._writer = writer

    @implements(TAKE_BACK)
    @translate_errors
    async def take_back(self, request: TakeBack) -> TakenBack:
        await refuse_if_over(self._sessions)
        swap = await self._swap(request)
        if swap is None:
            return TakenBack()
        await self._writer.apply(needing=[str(swap.target.id)])
        return TakenBack(release=release_ref(swap.target), bad_release_id=UUID(str(swap.bad.id)))

    async def _swap(self, request: TakeBack) -> Swap | None:
        place = request.place
        async with transaction(self._sessions) as session:
            releases = ReleaseRepository(session)
            environment = await releases.environment(place.environment_id, lock=True)
            swapped = await self._swapped_before(releases, place.deployment_id)
            if swapped:
                return swapped
            if environment.holder_deployment_id is not None:
                return None  # another operation changes it: this one takes the lock
            bad = await releases.stable(place.environment_id)
            if bad is None or bad.deployment_id != place.deployment_id:
                raise serves_no_more(bad)
            target = await releases.before(bad)
            if target is None:
                raise nothing_before()
            target = await releases.get(target.id, lock=True)
            if target.state not in STILL_RUNS or not await self._can_serve(target):
                return None
            await releases.hold(place.environment_id, place.deployment_id)
            await releases.make_current(place.environment_id, target.id)
            await releases.move(bad.id, ReleaseState.RETIRED, stop_after=await releases.clock())
            await releases.mark_taken_back(place.deployment_id, target.build_id)
            # Last: like the reconciler of instances, which locks a release and then makes a generation.
            generation = await RoutingRepository(session).set_route(
                place.environment_id, environment.host, [(target.id, 100)]
            )
            return Swap(target, bad, generation)

    @staticmethod
    async def _swapped_before(releases: ReleaseRepository, deployment_id: UUID) -> Swap | None:
        """An attempt before this one died between its transaction and the router: what it wanted stands in the rows.

        Who holds the lock does not matter: a rollout that got it since then may stand in the rows, too.
        """
        target = await releases.taken_back_to(deployment_id)
        bad = await releases.of_deployment(deployment_id) if target else None
        return Swap(target, bad, None) if target and bad else None

    async def _can_serve(self, release: Release) -> bool:
        """All of its instances take traffic by the router's own checks, so that it bears the whole load."""
        seen = await self._router.endpoint_health(str(release.id))
        return sum(endpoint.healthy for endpoint in seen) >= release.replicas
