import asyncio
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.errors import DependencyError
from domain.routing import Endpoint, HostRoute, ReleaseCluster, RoutingTable
from drivers.routers.envoy import render
from drivers.routers.envoy import state as memory
from drivers.routers.envoy.admin import CDS, RDS
from drivers.routers.envoy.files import ConfigFolder
from drivers.routers.envoy.render import cluster_name, release_of
from tests.drivers.routers.bed import HOST, Bed, cluster, route
from tests.drivers.routers.conformance import RouterConformance


class TestEnvoy(RouterConformance):
    pass


class OverPipes:
    """Instances with networks of their own: Envoy dials unix sockets, and bridges are behind these."""

    @pytest.fixture(autouse=True)
    def bridged(self, bed: Bed) -> None:
        bed.bridged = True


@pytest.mark.deep
class TestEnvoyOverPipes(OverPipes, RouterConformance):
    """All that is asked of the router."""

    # About cookies, which are the same whatever is behind; they take long.
    test_new_users_come_by_weight_and_each_stays_where_it_came = None
    test_canary_users_stay_while_its_weight_grows_and_all_return_when_it_falls = None


class TestPipes(OverPipes):
    """What depends most on what is behind."""

    test_weights_split_the_traffic = RouterConformance.test_weights_split_the_traffic
    test_switching_and_scaling = RouterConformance.test_switching_and_scaling_under_load_loses_no_request
    test_the_unwell = RouterConformance.test_an_unhealthy_release_gets_no_traffic_and_the_old_one_keeps_it
    test_the_idle = RouterConformance.test_an_instance_that_is_reported_idle_can_be_stopped_at_once

    async def test_where_nobody_listens_behind_the_socket_a_request_is_tried_elsewhere_whatever_its_method(
        self, bed: Bed
    ) -> None:
        # Several good ones: Envoy chooses by chance, and tries again twice.
        gone, *good = [await bed.upstream(name) for name in ("gone", "b", "c", "d", "e")]
        await bed.apply([replace(cluster("main", gone, *good), unhealthy_after=1000)], route(main=100))
        (before,) = await bed.router.counters(["main"])
        await gone.stop()
        async with bed.client() as client:
            answers = [await client.post("/orders", headers={"host": HOST}, content=b"x" * 9) for _ in range(40)]
        assert {answer.status_code for answer in answers} == {200}
        assert all("x-delivery-refused" not in answer.headers for answer in answers)
        (after,) = await bed.router.counters(["main"])
        assert (after.errors_5xx - before.errors_5xx, after.resets - before.resets) == (0, 0)
        await asyncio.gather(*(one.stop() for one in good))
        answer = await bed.get()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert "x-delivery-refused" not in answer.headers
        await asyncio.gather(*(one.start() for one in (gone, *good)))

    async def test_a_socket_that_is_gone_is_no_different_from_a_port_where_nobody_listens(self, bed: Bed) -> None:
        gone, *good = [await bed.upstream(name) for name in ("gone", "b", "c", "d", "e")]
        await bed.apply([replace(cluster("main", gone, *good), unhealthy_after=1000)], route(main=100))
        assert gone.bridge is not None
        await gone.bridge.end()
        async with bed.client() as client:
            answers = [await client.post("/orders", headers={"host": HOST}, content=b"x" * 9) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}

    async def test_a_large_body_passes_each_way(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        async with bed.client() as client:
            body = bytes(range(256)) * (8 * 4096)
            answer = await client.post("/echo", headers={"host": HOST}, content=body)
        assert answer.content == body


async def test_the_admin_socket_is_for_its_owner_only(bed: Bed) -> None:
    mode = bed.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o700


async def test_counting_does_not_read_the_whole_configuration_each_time(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = await bed.upstream("blue")
    await bed.apply([cluster("blue", blue)], route(blue=100))
    router, asked = bed.new_router(), []
    ask = router._admin._ask

    async def noted(path: str, query: Mapping[str, str]) -> httpx2.Response:
        asked.append(path)
        return await ask(path, query)

    monkeypatch.setattr(router._admin, "_ask", noted)
    epochs = {counters.epoch for _ in range(5) for counters in await router.counters(["blue"])}
    assert (len(epochs), asked.count("/config_dump")) == (1, 1)


async def test_killed_and_started_again_it_serves_the_same_routes_and_counts_anew(bed: Bed) -> None:
    blue = await bed.upstream("blue")
    table = await bed.apply([cluster("blue", blue)], route(blue=100))
    (before,) = await bed.router.counters(["blue"])
    await bed.kill()
    with pytest.raises(DependencyError, match="is Envoy running"):
        await bed.router.applied_generation()
    with pytest.raises(DependencyError):
        await bed.router.apply(bed.table([], route()), timeout_s=1)
    await bed.start()
    assert (await bed.get()).json()["name"] == "blue"
    assert await bed.router.applied_generation() == table.generation
    (after,) = await bed.router.counters(["blue"])
    assert before.epoch != after.epoch


@pytest.mark.parametrize("kind", ["clusters", "routes"])
async def test_a_row_that_envoy_refuses_is_left_out_with_its_words_and_all_others_are_applied(
    bed: Bed, kind: str
) -> None:
    blue, green, other = [await bed.upstream(name) for name in ("blue", "green", "other")]
    await bed.apply([cluster("blue", blue)], route(blue=100))
    hosts = [f"h{n}.localhost" for n in range(5)]
    others = [cluster(f"other{n}", other) for n in range(5)]
    clusters = [cluster("blue", blue), cluster("poison", green), *others]
    routes = [route(poison=100), *(route(host, **{f"other{n}": 100}) for n, host in enumerate(hosts))]
    with pytest.MonkeyPatch.context() as patch:
        _poison(patch, kind)
        table = bed.table(clusters, *routes)
        (rejection,) = await bed.router.apply(table)
        assert re.search(r"(?i)duration|timeout|connect_timeout", rejection.message), rejection
        assert "other" not in rejection.message
        assert (rejection.release_ids, rejection.host) == ({"poison"}, HOST)
        assert await bed.router.applied_generation() == table.generation
        assert {(await bed.get(host=host)).json()["name"] for host in hosts} == {"other"}
        assert (await bed.get()).json()["name"] == "blue"
        # Another process knows it too, and does not put it before Envoy again.
        refusals = await _refusals(bed)
        (again,) = await bed.new_router().apply(bed.table(clusters, *routes))
        assert again.release_ids == {"poison"}
        assert await _refusals(bed) == refusals
        await bed.apply([clusters[0], *others], route(blue=100), *routes[1:])
    render._cluster_text.cache_clear()
    await bed.apply([cluster("poison", green)], route(poison=100))
    assert (await bed.get()).json()["name"] == "green"


@pytest.mark.parametrize("kind", [pytest.param("clusters", marks=pytest.mark.deep), "routes"])
async def test_what_was_found_refused_before_the_time_was_over_is_remembered(bed: Bed, kind: str) -> None:
    """One tenant's many bad rows: each application gets on, until everybody's are live."""
    blue, green = [await bed.upstream(name) for name in ("blue", "green")]
    await bed.apply([cluster("blue", blue)], route(blue=100))
    bad = [f"poison{n}" for n in range(16)]
    hosts = {f"{name}.localhost": name for name in bad}
    clusters = [cluster("blue", blue), cluster("good", green), *(cluster(name, green) for name in bad)]
    routes = [route(blue=100), route("good.localhost", good=100), *(route(h, **{n: 100}) for h, n in hosts.items())]
    with pytest.MonkeyPatch.context() as patch:
        _poison(patch, kind)
        known, timeout_s = [0], 0.2
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    rejected = await bed.router.apply(bed.table(clusters, *routes))
                break
            except (DependencyError, TimeoutError):
                known.append(len(memory.load(bed.router._folder).refused))
                timeout_s += 0.1
    assert known == sorted(known)
    assert known[-1] > 0
    assert {name for one in rejected for name in one.release_ids} == set(bad)
    assert (await bed.get(host="good.localhost")).json()["name"] == "green"
    render._cluster_text.cache_clear()


async def _refusals(bed: Bed) -> int:
    return await bed.router._admin.rejected(CDS) + await bed.router._admin.rejected(RDS)


def _poison(patch: pytest.MonkeyPatch, kind: str) -> None:
    """Envoy is given something it does not take for the release `poison`, though our own check found nothing."""
    real_cluster, real_host = render._cluster, render.virtual_host

    def bad_cluster(name: str, one: ReleaseCluster) -> dict[str, Any]:
        return real_cluster(name, one) | ({"connect_timeout": "-1s"} if one.release_id.startswith("poison") else {})

    def bad_host(one: HostRoute, *told: Any) -> dict[str, Any]:
        bad = any(name.startswith("poison") for name in one.named)
        return real_host(replace(one, timeout_s=-1) if bad else one, *told)

    render._cluster_text.cache_clear()
    patch.setattr(*((render, "_cluster", bad_cluster) if kind == "clusters" else (render, "virtual_host", bad_host)))


@pytest.mark.parametrize("moment", ["before the clusters", "before the routes", "after the routes"])
@pytest.mark.parametrize("routes_alone", [True, False])
async def test_a_writer_that_died_halfway_is_taken_over(bed: Bed, moment: str, routes_alone: bool) -> None:
    blue, green, red = [await bed.upstream(n) for n in ("blue", "green", "red")]
    both = [cluster("blue", blue), cluster("green", green)]
    await bed.apply(both if routes_alone else both[:1], route(blue=100))
    pending = bed.table(both if routes_alone else both[1:], route(green=100))
    await _die(bed, pending, moment)
    serving = (await bed.get()).json()["name"]
    assert serving == ("green" if moment == "after the routes" else "blue")
    await bed.apply([cluster("red", red)], route(red=100))
    assert (await bed.get()).json()["name"] == "red"
    await bed.gone("blue", "green")
    assert [release_of(name) for name in await bed.router._admin.hosts()] == ["red"]
    state = memory.load(ConfigFolder(bed.config))
    assert (state.pending, state.leaving) == (None, ())


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_taking_down_that_died_halfway_is_taken_over(bed: Bed, comes_back: bool) -> None:
    blue, green = await bed.upstream("blue"), await bed.upstream("green")
    await bed.quiet()
    router = bed.new_router()
    await router.apply(bed.table([cluster("blue", blue)], route(blue=100)))
    await bed.quiet()
    with pytest.MonkeyPatch.context() as patch:
        await router.apply(bed.table([cluster("green", green)], route(green=100)))
        patch.setattr(memory, "save", _die_now)
        assert router._departure._task is not None
        with pytest.raises(DiedError):
            await router._departure._task
    state = memory.load(ConfigFolder(bed.config))
    assert [c.release_id for c in state.leaving] == ["blue"]
    if comes_back:
        await bed.apply([cluster("blue", blue)], route(blue=100))
        assert (await bed.get()).json()["name"] == "blue"
        await bed.gone("green")
    else:
        await bed.router.apply(state.applied)
        await bed.gone("blue")
        assert (await bed.get()).json()["name"] == "green"
    await bed.quiet()
    assert memory.load(ConfigFolder(bed.config)).leaving == ()


async def test_who_finds_clusters_that_are_to_leave_takes_them_down(bed: Bed) -> None:
    blue, green = await bed.upstream("blue"), await bed.upstream("green")
    await bed.quiet()
    router = bed.new_router()
    await router.apply(bed.table([cluster("blue", blue)], route(blue=100)))
    table = bed.table([cluster("green", green)], route(green=100))
    await router.apply(table)
    await router.close()  # its process ends before it looked
    assert await bed.router.endpoint_health("blue")
    await bed.router.apply(table)
    await bed.gone("blue")


async def test_a_change_of_weights_leaves_the_clusters_file_alone(bed: Bed) -> None:
    blue, green = await bed.upstream("blue"), await bed.upstream("green")
    both = [cluster("blue", blue), cluster("green", green)]
    await bed.apply(both, route(blue=100))
    await bed.quiet()
    before = ConfigFolder(bed.config).clusters.stat()
    table = await bed.apply(both, route(blue=50, green=50))
    after = ConfigFolder(bed.config).clusters.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert await bed.router.applied_generation() == table.generation


async def test_clusters_that_are_not_what_envoy_runs_are_written_again(bed: Bed) -> None:
    blue, green = await bed.upstream("blue"), await bed.upstream("green")
    both = [cluster("blue", blue), cluster("green", green)]
    await bed.apply(both, route(blue=100))
    await bed.quiet()
    ConfigFolder(bed.config).clusters.write_text("half a fi")  # Envoy does not look: nothing was renamed
    await bed.apply(both, route(green=100))
    assert json.loads(ConfigFolder(bed.config).clusters.read_text())["resources"]
    assert (await bed.get()).json()["name"] == "green"


def _die_now(*_args: object, **_options: object) -> None:
    raise DiedError


class DiedError(BaseException):
    pass


async def _die(bed: Bed, table: RoutingTable, moment: str) -> None:
    """A writer whose process ends at that moment: nothing after it is done, not even what restores."""
    router = bed.new_router()

    async def die(*_args: object, **_options: object) -> None:
        raise DiedError

    victim = {"before the clusters": "publish_clusters", "before the routes": "publish_routes"}.get(moment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "_restore", die)
        if victim:
            patch.setattr(router._publisher, victim, die)
        else:
            patch.setattr(memory, "confirmed", lambda *_: (_ for _ in ()).throw(DiedError))
        with pytest.raises(DiedError):
            await router.apply(table)


async def test_the_access_log_tells_when_which_release_was_asked(bed: Bed) -> None:
    blue = await bed.upstream("blue")
    await bed.apply([cluster("logged", blue)], route(logged=100))
    await bed.get("/in-the-log")

    def found() -> list[dict[str, Any]]:
        *lines, _ = bed.access_log.read_text().split("\n")  # the last one may be half written
        return [told for told in map(json.loads, lines) if told["path"] == "/in-the-log"]

    async def logged() -> bool:
        return found() != []

    assert await bed.until(logged)
    (line,) = found()
    assert (line["host"], line["cluster"], line["code"], line["flags"]) == (HOST, "logged", 200, "-")
    assert int(line["start_ms"]) > 1_600_000_000_000


async def test_two_hundred_releases_need_no_more_of_envoy_than_one(bed: Bed) -> None:
    """With a watched file a release, Envoy aborts at the kernel's 128 inotify instances a user."""
    blue = await bed.upstream("blue")
    clusters = [cluster(f"r{n}", blue) for n in range(200)]
    routes = [route(f"h{n}.localhost", **{f"r{n}": 100}) for n in range(200)]
    await bed.apply(clusters, *routes)
    assert (await bed.get(host="h199.localhost")).headers["x-delivery-release"] == "r199"


async def test_a_release_keeps_its_counters_when_its_endpoints_change(bed: Bed) -> None:
    blue, other = await bed.upstream("blue"), await bed.upstream("other")
    await bed.apply([cluster("scaled", blue)], route(scaled=100))
    await bed.get()
    (before,) = await bed.router.counters(["scaled"])
    await bed.apply([cluster("scaled", blue, other)], route(scaled=100))
    await bed.get()
    (after,) = await bed.router.counters(["scaled"])
    assert (before.requests, after.requests) == (1, 2)
    assert before.epoch == after.epoch


@pytest.mark.parametrize(
    ("path", "fault"),
    [("/" + "x" * 107, "at most 107 bytes"), ("/a\0b", "must be an absolute path"), ("//", None), ("/tmp/a b", None)],
    ids=["long", "NUL", "odd", "fine"],
)
async def test_a_socket_that_cannot_be_dialled_is_left_out_in_words(bed: Bed, path: str, fault: str | None) -> None:
    blue = await bed.upstream("blue")
    table = bed.table([cluster("blue", blue), ReleaseCluster("odd", (Endpoint.pipe(path),))], route(blue=100))
    rejected = await bed.router.apply(table)
    assert [fault in one.message for one in rejected if fault] == ([True] if fault else [])
    assert bool(rejected) == bool(fault)
    assert (await bed.get()).json()["name"] == "blue"


def test_a_cluster_has_the_same_name_after_it_was_remembered(tmp_path: Path) -> None:
    whole_numbers = ReleaseCluster("r", (Endpoint("127.0.0.1", 2), Endpoint("127.0.0.1", 1)), "/", 1, 2)
    folder = ConfigFolder(tmp_path)
    memory.save(folder, memory.State(applied=RoutingTable(1, (whole_numbers,), ())))
    (remembered,) = memory.load(folder).applied.clusters
    assert cluster_name(remembered) == cluster_name(whole_numbers)
    assert cluster_name(replace(remembered, health_path="/up")) != cluster_name(remembered)
    assert release_of(cluster_name(remembered)) == "r"


def test_a_state_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    folder.state.write_text("half a fi")
    assert memory.load(folder) == memory.State()


def test_the_clusters_of_every_writer_that_died_are_kept_until_routes_are_confirmed() -> None:
    def table(generation: int, release_id: str) -> RoutingTable:
        return RoutingTable(generation, (ReleaseCluster(release_id, (Endpoint("127.0.0.1", 1),)),), ())

    state = memory.State(applied=table(1, "a"), pending=table(2, "b"))
    state = replace(memory.settled(state, took_pending=False), pending=table(3, "c"))
    assert {c.release_id for c in memory.present(state)} == {"a", "b", "c"}
    assert memory.settled(state, took_pending=True).applied.generation == 3
    assert memory.settled(state, took_pending=False).applied.generation == 1
