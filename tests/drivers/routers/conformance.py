"""What every router driver must do. A driver's test module subclasses this and gives a fixture `bed`."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.routers.base import HeldBackError, Readiness
from drivers.routers.envoy.deadline import Deadline
from tests.drivers.routers.audience import AudienceConformance
from tests.drivers.routers.bed import HOST, Bed, cluster, route
from tests.drivers.routers.ingress import IngressConformance
from tests.support.loadgen import LoadPlan, run_load


class RouterConformance(AudienceConformance, IngressConformance):
    async def test_a_host_reaches_its_release_and_says_which(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        table = await bed.apply([cluster("blue", blue)], route(blue=100))
        answer = await bed.get()
        assert answer.json()["name"] == "blue"
        assert answer.headers.get_list("x-delivery-release") == ["blue"]
        assert await bed.router.applied_generation() == table.generation

    async def test_an_unknown_host_is_404(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        for host in ("other.localhost", f"x.{HOST}", "localhost"):
            answer = await bed.get(host=host)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
        assert (await bed.get(host=f"{HOST.upper()}:8000")).status_code == 200

    async def test_weights_split_the_traffic(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        clusters = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(clusters, route(blue=75, green=25))
        async with bed.client() as client:
            answers = [await client.get("/", headers={"host": HOST}) for _ in range(400)]
        seen = Counter(a.headers["x-delivery-release"] for a in answers)
        assert 50 < seen["green"] < 160
        assert seen["blue"] + seen["green"] == 400

    async def test_a_dark_release_is_warm_but_gets_nothing(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        await bed.apply([cluster("blue", blue), cluster("green", green)], route(blue=100, green=0))
        assert {(await bed.get()).json()["name"] for _ in range(20)} == {"blue"}
        await bed.apply([cluster("blue", blue), cluster("green", green)], route(blue=0, green=100))
        assert {(await bed.get()).json()["name"] for _ in range(20)} == {"green"}

    async def test_clients_cannot_send_internal_headers(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        answer = await bed.get(x_delivery_token="guess", x_envoy_retry_on="5xx", x_mine="kept")
        got = answer.json()["headers"]
        assert got["x-mine"] == "kept"
        assert not [name for name in got if name.startswith(("x-delivery-", "x-envoy-retry"))]

    async def test_an_unhealthy_release_gets_no_traffic_and_the_old_one_keeps_it(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        good = await bed.apply([cluster("blue", blue)], route(blue=100))
        green.healthy = False
        table = bed.table([cluster("blue", blue), cluster("green", green)], route(green=100))
        with pytest.raises(DependencyError, match="green has no instance that passes") as caught:
            await bed.router.apply(table, timeout_s=1)
        assert caught.value.details["release_ids"] == ["green"]
        assert (await bed.get()).json()["name"] == "blue"
        assert await bed.router.applied_generation() == good.generation
        green.healthy = True
        await bed.until_applied(table)
        assert (await bed.get()).json()["name"] == "green"

    async def test_a_service_broken_by_itself_does_not_hold_up_others(self, bed: Bed) -> None:
        blue, other = await bed.upstream("blue"), await bed.upstream("other")
        both = [cluster("blue", blue), cluster("other", other)]
        await bed.apply(both, route(blue=100), route("o.localhost", other=100))
        other.healthy = False
        green = await bed.upstream("green")
        await bed.apply([*both, cluster("green", green)], route(green=100), route("o.localhost", other=100))
        assert (await bed.get()).json()["name"] == "green"

    async def test_a_release_that_cannot_take_traffic_holds_up_nobody_else(self, bed: Bed) -> None:
        blue, green, bad = [await bed.upstream(name) for name in ("blue", "green", "bad")]
        await bed.apply([cluster("blue", blue)], route(blue=100))
        bad.healthy = False
        three = [cluster("blue", blue), cluster("green", green), cluster("bad", bad)]
        for table in (
            bed.table(three, route(green=100), route("b.localhost", bad=100)),
            bed.table(three, route(blue=100), route("b.localhost", bad=100)),
        ):
            with pytest.raises(HeldBackError) as caught:
                await bed.router.apply(table, timeout_s=2)
            assert caught.value.release_ids == {"bad"}
            assert (await bed.get()).json()["name"] == table.routes[0].targets[0].release_id
            assert (await bed.get(host="b.localhost")).status_code == 404
        bad.healthy = True
        await bed.until_applied(table)
        assert (await bed.get(host="b.localhost")).json()["name"] == "bad"

    async def test_instances_that_are_waited_for_are_looked_at_until_they_are_well(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        await bed.apply([cluster("main", blue)], route(main=100))
        green.healthy = False
        table = bed.table([cluster("main", blue, green)], route(main=100))
        at_once = Readiness(wait_s=0, every_endpoint=True)
        with pytest.raises(HeldBackError):
            await bed.router.apply(table, readiness=at_once)
        with pytest.raises(HeldBackError):
            await bed.router.apply(table, readiness=replace(at_once, wait_s=0.5))
        await bed.quiet()
        assert {(await bed.get()).json()["name"] for _ in range(10)} == {"blue"}
        green.healthy = True
        await bed.until_applied(table, at_once)
        assert {(await bed.get()).json()["name"] for _ in range(30)} == {"blue", "green"}

    async def test_traffic_returns_at_once_to_a_release_that_lost_an_instance(self, bed: Bed) -> None:
        blue, blue2, green = [await bed.upstream(name) for name in ("blue", "blue2", "green")]
        clusters = [cluster("stable", blue, blue2), cluster("canary", green)]
        await bed.apply(clusters, route(stable=50, canary=50))
        blue2.healthy = False

        async def seen_broken() -> bool:
            return not all(h.healthy for h in await bed.router.endpoint_health("stable"))

        assert await Deadline(10).until(seen_broken)
        back = bed.table(clusters, route(stable=100, canary=0))
        await bed.router.apply(back, readiness=Readiness(wait_s=0, every_endpoint=True))
        assert {(await bed.get()).json()["name"] for _ in range(10)} == {"blue"}

    async def test_one_instance_is_enough_where_that_is_asked(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        green.healthy = False
        await bed.until_applied(
            bed.table([cluster("main", blue, green)], route(main=100)), Readiness(wait_s=0, every_endpoint=False)
        )
        assert {(await bed.get()).json()["name"] for _ in range(10)} == {"blue"}

    async def test_the_same_and_older_generations_change_nothing(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        old = bed.table([cluster("green", green)], route(green=100))
        new = await bed.apply([cluster("blue", blue)], route(blue=100))
        await bed.router.apply(old)
        await bed.router.apply(new)
        assert (await bed.get()).json()["name"] == "blue"
        assert await bed.router.applied_generation() == new.generation

    async def test_a_table_that_makes_no_sense_is_rejected_before_anything_moves(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        good = await bed.apply([cluster("blue", blue)], route(blue=100))
        for faulty, words in (
            (route(blue=90), "add up to 100"),
            (route(green=100), "no cluster"),
            (route("*.localhost", blue=100), "wildcards"),
        ):
            with pytest.raises(TerminalError, match=words) as caught:
                await bed.router.apply(bed.table([cluster("blue", blue)], faulty))
            assert caught.value.code is ErrorCode.ROUTE_REJECTED
        assert await bed.router.applied_generation() == good.generation

    async def test_two_writers_at_once_end_with_the_newest(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        first = bed.table([cluster("blue", blue)], route(blue=100))
        second = bed.table([cluster("green", green)], route(green=100))
        await asyncio.gather(bed.new_router().apply(second), bed.new_router().apply(first))
        assert await bed.router.applied_generation() == second.generation
        assert (await bed.get()).json()["name"] == "green"

    async def test_switching_and_scaling_under_load_loses_no_request(self, bed: Bed) -> None:
        blue, blue2 = await bed.upstream("blue"), await bed.upstream("blue2")
        green, green2 = await bed.upstream("green"), await bed.upstream("green2")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        load = asyncio.create_task(run_load(LoadPlan(f"http://127.0.0.1:{bed.port}/", HOST, 350, 6)))
        full, both = cluster("blue", blue, blue2), cluster("green", green, green2)
        await bed.apply([full], route(blue=100))
        await bed.apply([full, both], route(blue=90, green=10))
        await bed.apply([full, both], route(green=100))
        await bed.apply([both], route(green=100))
        await bed.apply([cluster("green", green2)], route(green=100))
        await bed.apply([full, cluster("green", green2)], route(blue=100))
        await bed.apply([cluster("blue", blue2)], route(blue=100))
        for gone in (blue, green, green2):
            await gone.stop()
        summary = await load
        await asyncio.gather(*(u.start() for u in (blue, green, green2)))
        assert summary.failures == 0, summary
        assert {"blue", "green"} <= set(summary.releases)

    @pytest.mark.parametrize("whole_release", [True, False])
    async def test_a_slow_request_in_flight_survives_the_removal_of_its_endpoint(
        self, bed: Bed, whole_release: bool
    ) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        await bed.apply([cluster("main", blue)], route(main=100))
        slow = asyncio.create_task(bed.get("/slow"))
        await asyncio.wait_for(blue.waiting.wait(), 5)
        name = "next" if whole_release else "main"
        await bed.apply([cluster(name, green)], route(HOST, **{name: 100}))
        assert (await bed.get()).json()["name"] == "green"
        seen = {h.endpoint.port: h for h in await bed.router.endpoint_health("main")}
        assert (seen[blue.port].healthy, seen[blue.port].active_requests) == (False, 1)
        await bed.apply([cluster(name, green)], route(HOST, **{name: 100}))
        assert [
            h.active_requests for h in await bed.router.endpoint_health("main") if h.endpoint.port == blue.port
        ] == [1]
        blue.release.set()
        answer = await slow
        assert (answer.status_code, answer.json()["name"]) == (200, "blue")

        async def removed() -> bool:  # nobody has to call again for it
            return blue.port not in {h.endpoint.port for h in await bed.router.endpoint_health("main")}

        assert await Deadline(10).until(removed)

    @pytest.mark.parametrize("still_in_the_table", [True, False])
    async def test_an_instance_that_is_told_idle_can_be_stopped_at_once(
        self, bed: Bed, still_in_the_table: bool
    ) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(both, route(blue=100, green=0))
        load = asyncio.create_task(run_load(LoadPlan(f"http://127.0.0.1:{bed.port}/", HOST, 300, 4)))
        left, stays, last = ("blue", blue), ("green", green), both[1]
        for _ in range(4):
            await bed.apply(both if still_in_the_table else [last], route(HOST, **{stays[0]: 100}))
            name, gone = left

            async def idle(name: str = name, port: int = gone.port) -> bool:
                seen = await bed.router.endpoint_health(name)
                return not any(h.active_requests for h in seen if h.endpoint.port == port)

            assert await Deadline(10).until(idle)
            await gone.stop()
            await gone.start()
            left, stays = stays, left
            last = cluster(*stays)
            await bed.apply(both, route(HOST, **{left[0]: 100}))
        summary = await load
        assert summary.failures == 0, summary

    async def test_counters_tell_answers_errors_and_latency(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("counted", blue)], route(counted=100))
        (before,) = await bed.router.counters(["counted"])
        for path in ("/", "/", "/", "/fail", "/reset"):
            await bed.get(path)
        end = asyncio.get_running_loop().time() + 5
        while True:  # histograms are merged once a second
            (after, unknown) = await bed.router.counters(["counted", "unknown"])
            if max(after.latency_buckets.values(), default=0) >= 4 or asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.1)
        assert before.epoch == after.epoch
        assert (after.requests - before.requests, after.errors_5xx) == (5, 2), after  # as the client saw it
        assert after.resets == 3  # a GET is tried twice more
        assert max(after.latency_buckets.values()) >= 4
        by_bound = [count for _, count in sorted(after.latency_buckets.items())]
        assert by_bound == sorted(by_bound)
        assert (unknown.requests, unknown.latency_buckets) == (0, {})

    async def test_counters_of_a_release_that_comes_back_have_a_new_epoch(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        (before,) = await bed.router.counters(["blue"])
        await bed.apply([cluster("green", green)], route(green=100))
        await bed.gone("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        (after,) = await bed.router.counters(["blue"])
        assert before.epoch != after.epoch
