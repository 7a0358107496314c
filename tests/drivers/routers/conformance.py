"""What every router driver must do. A driver's test module subclasses this and gives a fixture `bed`."""

import asyncio
import re
from collections import Counter
from dataclasses import replace

import pytest

from domain.routing import Endpoint, HostRoute, Rejection, RoutingTable
from drivers.routers.base import HeldBackError, ReadinessRule
from tests.drivers.routers.audience import AudienceConformance
from tests.drivers.routers.bed import HOST, PATIENCE_S, Bed, cluster, previewed, route, sticky
from tests.drivers.routers.ingress import IngressConformance


class RouterConformance(AudienceConformance, IngressConformance):
    async def test_a_host_reaches_its_release_and_says_which(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        table = await bed.apply([cluster("blue", blue)], route(blue=100))
        answer = await bed.get()
        assert answer.json()["name"] == "blue"
        assert answer.headers.get_list("x-delivery-release") == ["blue"]
        assert await bed.router.applied_generation() == table.generation

    async def test_cleartext_http2_and_websockets_pass(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        settings = await asyncio.wait_for(reader.readexactly(9), PATIENCE_S)
        writer.close()
        assert settings[3] == 4  # a SETTINGS frame: it speaks HTTP/2
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        upgrade = (
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: a2V5\r\n"
        )
        writer.write(f"GET /socket HTTP/1.1\r\nhost: {HOST}\r\n{upgrade}\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        writer.write(b"ping")
        echo = await asyncio.wait_for(reader.readexactly(4), PATIENCE_S)
        writer.close()
        assert (head.split(b" ")[1], echo) == (b"101", b"ping")

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
        refused = await bed.held_back(table, "green")
        assert "green has no instance that passes" in refused.message
        assert refused.details["release_ids"] == ["green"]
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
            await bed.held_back(table, "bad")
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
        at_once = ReadinessRule(wait_s=0, every_endpoint=True)
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

        assert await bed.until(seen_broken)
        back = bed.table(clusters, route(stable=100, canary=0))
        await bed.router.apply(back, readiness=ReadinessRule(wait_s=0, every_endpoint=True))
        assert {(await bed.get()).json()["name"] for _ in range(10)} == {"blue"}

    async def test_one_instance_is_enough_where_that_is_asked(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        green.healthy = False
        await bed.until_applied(
            bed.table([cluster("main", blue, green)], route(main=100)), ReadinessRule(wait_s=0, every_endpoint=False)
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

    @pytest.mark.parametrize(
        ("faulty", "words"),
        [
            (route(good=90), "add up to 100"),
            (route(unknown=100), "no cluster"),
            (route("*.localhost", good=100), "wildcards"),
            (route("Dev.localhost", good=100), "lower case"),
            (route("x y.localhost", good=100), "host name"),
            (route(poison=100), "health path"),
            (route(nbsp=100), "health path"),
            (route(hosted=100), "health host"),
            (replace(route(good=100), timeout_s=-1), "timeout"),
            (replace(route(good=100), timeout_s=1e-9), "timeout"),
            (replace(route(good=100), idle_timeout_s=float("nan")), "idle_timeout"),
            (route(good=100, poison=0), "health path"),
            (previewed(route(good=100), "poison"), "health path"),
            (sticky(route(good=100), "a;b"), "cookie"),
            (replace(route(good=100), environment_id="a\nb"), "environment id"),
            (replace(route(good=100), environment_id="env-b.localhost"), "twice"),
        ],
    )
    async def test_a_row_that_makes_no_sense_is_left_out_and_all_others_are_applied(
        self, bed: Bed, faulty: HostRoute, words: str
    ) -> None:
        """Its own host keeps what it has, and nobody else's name is told."""
        before, good, other = [await bed.upstream(name) for name in ("before", "good", "neighbour")]
        await bed.apply([cluster("before", before)], route(before=100))
        poison = [cluster("poison", good, health_path="/health check"), cluster("nbsp", good, health_path="/a\u00a0b")]
        poison.append(replace(cluster("hosted", good), health_host="a b"))
        mine = [cluster("before", before), cluster("good", good), *poison]
        table = bed.table([*mine, cluster("neighbour", other)], faulty, route("b.localhost", neighbour=100))
        rejected = await bed.router.apply(table)
        of_host = next(one for one in rejected if one.host is not None)
        assert re.search(words, of_host.message), of_host
        assert (of_host.host, of_host.release_ids) == (faulty.host, set(faulty.named))
        assert not [one for one in rejected if "b.localhost" in one.message or "neighbour" in one.message]
        assert await bed.router.applied_generation() == table.generation
        assert (await bed.get(host="b.localhost")).json()["name"] == "neighbour"
        if faulty.host == HOST:
            assert (await bed.get()).json()["name"] == "before"
        assert await bed.router.apply(table) == rejected
        green = await bed.upstream("green")
        rest = bed.table([*mine, cluster("green", green)], faulty, route("b.localhost", green=100))
        await bed.router.apply(rest)
        assert (await bed.get(host="b.localhost")).json()["name"] == "green"
        await bed.apply([*mine[:2], cluster("green", green)], route("b.localhost", green=100))

    @pytest.mark.parametrize("seconds", [0.001, 0.0015, 86400.0, 12345.678])
    async def test_what_the_spec_allows_the_router_takes(self, bed: Bed, seconds: float) -> None:
        blue = await bed.upstream("blue")
        patient = replace(route(blue=100), timeout_s=seconds, idle_timeout_s=max(seconds, 1))
        await bed.apply([cluster("blue", blue)], sticky(patient))
        assert (await bed.get()).status_code in (200, 504)

    async def test_a_release_nobody_is_routed_to_may_be_left_out(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        table = bed.table([cluster("blue", blue), cluster("poison", blue, health_path="/a b")], route(blue=100))
        (rejection,) = await bed.router.apply(table)
        assert (rejection.release_ids, rejection.host) == ({"poison"}, None)
        assert (await bed.get()).json()["name"] == "blue"

    async def test_of_two_rows_with_one_host_the_older_environments_stays(self, bed: Bed) -> None:
        mine, theirs = await bed.upstream("mine"), await bed.upstream("theirs")
        clusters = [cluster("mine", mine), cluster("theirs", theirs)]
        rows = [replace(route(theirs=100), environment_id="b"), replace(route(mine=100), environment_id="a")]
        (rejection,) = await bed.router.apply(bed.table(clusters, *rows))
        assert rejection.release_ids == {"theirs"}
        assert "mine" not in rejection.message
        assert (await bed.get()).json()["name"] == "mine"

    async def test_what_the_caller_could_not_read_stays_as_it_is(self, bed: Bed) -> None:
        blue, other = await bed.upstream("blue"), await bed.upstream("other")
        both = [cluster("blue", blue), cluster("other", other)]
        await bed.apply(both, route(blue=100), route("b.localhost", other=100))
        unreadable = Rejection("it cannot be read", frozenset({"blue"}), HOST)
        table = replace(bed.table([cluster("other", other)], route("c.localhost", other=100)), unreadable=(unreadable,))
        assert await bed.router.apply(table) == (unreadable,)
        assert (await bed.get()).json()["name"] == "blue"
        assert (await bed.get(host="b.localhost")).status_code == 404
        assert (await bed.get(host="c.localhost")).json()["name"] == "other"

    @pytest.mark.parametrize("running", [True, False])
    @pytest.mark.parametrize("missing", ["cds.json", "rds.json", "state.json", "everything"])
    async def test_missing_files_are_rebuilt_from_the_same_record(
        self, *, bed: Bed, missing: str, running: bool
    ) -> None:
        blue = await bed.upstream("blue")
        table = await bed.apply([cluster("blue", blue)], route(blue=100))
        await bed.quiet()
        assert await bed.settled(table)
        if not running:
            await bed.kill()
        bed.lose(missing)
        if not running:
            bed.prepare()
            await bed.start()
        assert not await bed.router.is_settled(table.generation)
        await bed.router.apply(table, over=await bed.router.mark())
        assert await bed.settled(table)
        await bed.answered_by("blue")
        await bed.quiet()
        await bed.kill()
        bed.prepare()
        await bed.start()
        await bed.answered_by("blue")

    @pytest.mark.parametrize("fewer", [1, 2, 50])
    async def test_a_restored_record_with_a_lower_generation_is_applied(self, bed: Bed, fewer: int) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = (cluster("blue", blue), cluster("green", green))
        newest = bed.far_on(100)
        await bed.router.apply(RoutingTable(newest, both, (route(green=100), route("gone.localhost", green=100))))
        lower = newest - fewer
        restored = RoutingTable(lower, both, (route(blue=100),))
        assert not await bed.router.is_settled(lower)
        await bed.router.apply(restored, over=await bed.router.mark())
        assert (await bed.get()).json()["name"] == "blue"
        assert (await bed.get(host="gone.localhost")).status_code == 404
        assert await bed.settled(restored)
        await bed.router.apply(RoutingTable(lower + 1, both, (route(green=100),)))
        assert (await bed.get()).json()["name"] == "green"

    async def test_a_restored_record_with_the_same_generation_and_other_rows_is_applied(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = (cluster("blue", blue), cluster("green", green))
        generation = bed.far_on(1)
        await bed.router.apply(RoutingTable(generation, both, (route(green=100),)))
        await bed.router.apply(RoutingTable(generation, both, (route(blue=100),)), over=await bed.router.mark())
        assert (await bed.get()).json()["name"] == "blue"

    async def test_a_writer_that_was_overtaken_changes_nothing(self, bed: Bed) -> None:
        """It read its table, lost its lock, and somebody else applied a newer one before it went on."""
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(both, route(blue=100))
        mark, stale = await bed.router.mark(), bed.table(both, route(blue=100))
        await bed.apply(both, route(green=100))
        await bed.new_router().apply(stale, over=mark)
        assert (await bed.get()).json()["name"] == "green"

    async def test_the_health_of_all_is_what_the_health_of_each_is(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(both, route(blue=100, green=0))

        async def same() -> bool:
            seen = await bed.router.all_health()
            each = {name: await bed.router.endpoint_health(name) for name in ("blue", "green")}
            return seen == each and all(h.healthy for hosts in each.values() for h in hosts)

        assert await bed.until(same)

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
        load = bed.load(rps=150)
        full, both = cluster("blue", blue, blue2), cluster("green", green, green2)
        for _ in range(3):
            await bed.apply([full], route(blue=100))
            await bed.apply([full, both], route(blue=90, green=10))
            await bed.apply([full, both], route(green=100))
            await bed.apply([both], route(green=100))
            await bed.apply([cluster("green", green2)], route(green=100))
            await bed.apply([full, cluster("green", green2)], route(blue=100))
            await bed.apply([cluster("blue", blue2)], route(blue=100))
        for gone in (blue, green, green2):
            await gone.stop()
        summary = await load.end()
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
        await asyncio.wait_for(blue.waiting.wait(), PATIENCE_S)
        name = "next" if whole_release else "main"
        await bed.apply([cluster(name, green)], route(HOST, **{name: 100}))
        assert (await bed.get()).json()["name"] == "green"
        seen = {h.endpoint: h for h in await bed.router.endpoint_health("main")}
        assert (seen[blue.endpoint].healthy, seen[blue.endpoint].active_requests) == (False, 1)
        await bed.apply([cluster(name, green)], route(HOST, **{name: 100}))
        assert [h.active_requests for h in await bed.router.endpoint_health("main") if h.endpoint == blue.endpoint] == [
            1
        ]
        blue.release.set()
        answer = await slow
        assert (answer.status_code, answer.json()["name"]) == (200, "blue")

        async def removed() -> bool:  # nobody has to call again for it
            return blue.endpoint not in {h.endpoint for h in await bed.router.endpoint_health("main")}

        assert await bed.until(removed)

    @pytest.mark.parametrize("still_in_the_table", [True, False])
    async def test_an_instance_that_is_reported_idle_can_be_stopped_at_once(
        self, bed: Bed, still_in_the_table: bool
    ) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(both, route(blue=100, green=0))
        load = bed.load(rps=150)
        left, stays, last = ("blue", blue), ("green", green), both[1]
        for _ in range(4):
            await bed.apply(both if still_in_the_table else [last], route(HOST, **{stays[0]: 100}))
            name, gone = left

            async def idle(name: str = name, where: Endpoint = gone.endpoint) -> bool:
                seen = await bed.router.endpoint_health(name)
                return not any(h.active_requests for h in seen if h.endpoint == where)

            assert await bed.until(idle)
            await gone.stop()
            await gone.start()
            left, stays = stays, left
            last = cluster(*stays)
            await bed.apply(both, route(HOST, **{left[0]: 100}))
        summary = await load.end()
        assert summary.failures == 0, summary

    async def test_counters_tell_answers_errors_and_latency(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("counted", blue)], route(counted=100))
        (before,) = await bed.router.counters(["counted"])
        for path in ("/", "/", "/", "/fail", "/reset"):
            await bed.get(path)

        async def merged() -> bool:  # histograms are, once a second
            (seen,) = await bed.router.counters(["counted"])
            return max(seen.latency_buckets.values(), default=0) >= 4

        assert await bed.until(merged)
        (after, unknown) = await bed.router.counters(["counted", "unknown"])
        assert before.epoch == after.epoch
        assert (after.requests - before.requests, after.errors_5xx) == (5, 2), after  # as the client saw it
        assert sum(count for code, count in after.codes.items() if code >= 500) == 2
        assert after.resets == 3  # a GET is tried twice more
        by_bound = [count for _, count in sorted(after.latency_buckets.items())]
        assert by_bound == sorted(by_bound)
        assert (unknown.requests, unknown.latency_buckets) == (0, {})

    async def test_4xx_are_counted_each_and_health_checks_are_not(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("refusing", blue)], route(refusing=100))
        asked = blue.checked
        for path in ("/", "/code/404", "/code/404", "/code/429"):
            await bed.get(path)

        async def checked() -> bool:
            return blue.checked >= asked + 5

        assert await bed.until(checked)
        (counted,) = await bed.router.counters(["refusing"])
        assert (counted.requests, counted.errors_4xx, counted.errors_5xx) == (4, 3, 0)
        assert counted.codes == {404: 2, 429: 1}

    async def test_counters_of_a_release_that_comes_back_have_a_new_epoch(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        (before,) = await bed.router.counters(["blue"])
        await bed.apply([cluster("green", green)], route(green=100))
        await bed.gone("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        (after,) = await bed.router.counters(["blue"])
        assert before.epoch != after.epoch
