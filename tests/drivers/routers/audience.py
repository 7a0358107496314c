"""Who meets which release: previews by token, sticky users by cookie. Part of what every router driver must do."""

import asyncio
import math
from collections import Counter
from dataclasses import replace

import httpx2
import pytest

from domain.routing import PREVIEW_HEADER, HostRoute, Preview
from tests.drivers.routers.bed import HOST, Bed, cluster, previewed, route, sticky, token
from tests.support.deep import by_depth

AT_ONCE = 20


class Client:
    """A new user with a cookie jar of its own, as simple as a browser's; `met` are the releases of the answers."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.cookies: dict[str, str] = {}
        self.met: list[str] = []

    async def visit(self, through: httpx2.AsyncHTTPTransport) -> str:
        jar = {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
        url = f"http://127.0.0.1:{self._bed.port}/"
        answer = await through.handle_async_request(httpx2.Request("GET", url, headers={"host": HOST, **jar}))
        await answer.aread()
        for given in answer.headers.get_list("set-cookie"):
            name, _, value = given.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.met.append(answer.headers["x-delivery-release"])
        return self.met[-1]


async def visit_all(bed: Bed, clients: list[Client]) -> Counter[str]:
    """Everybody once, some at the same time; how many met each release."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(client: Client, through: httpx2.AsyncHTTPTransport) -> str:
        async with turns:
            return await client.visit(through)

    async with httpx2.AsyncHTTPTransport(verify=False) as through:  # a client would share one cookie jar
        return Counter(await asyncio.gather(*(one(client, through) for client in clients)))


class AudienceConformance:
    async def test_a_preview_is_for_who_has_its_token(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        clusters = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(clusters, previewed(route(blue=100, green=0), "green"))
        answer = await bed.get(x_delivery_preview=token("green"))
        assert (answer.json()["name"], answer.headers["x-delivery-release"]) == ("green", "green")
        assert PREVIEW_HEADER not in answer.json()["headers"]
        for wrong in ("", "secret-of-green2", "secret-of-", token("green").upper(), f"{token('green')},x"):
            answer = await bed.get(x_delivery_preview=wrong)
            assert answer.json()["name"] == "blue"
            assert PREVIEW_HEADER not in answer.json()["headers"]
        assert {(await bed.get()).json()["name"] for _ in range(20)} == {"blue"}

    async def test_a_preview_needs_no_weights_and_others_then_meet_nothing(self, bed: Bed) -> None:
        green = await bed.upstream("green")
        for shares in (route(), route(green=0)):
            await bed.apply([cluster("green", green)], previewed(shares, "green"))
            assert (await bed.get(x_delivery_preview=token("green"))).json()["name"] == "green"
            answer = await bed.get()
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")

    async def test_several_previews_are_apart_and_one_that_ends_is_closed(self, bed: Bed) -> None:
        three = {name: await bed.upstream(name) for name in ("blue", "green", "red")}
        clusters = [cluster(name, upstream) for name, upstream in three.items()]
        await bed.apply(clusters, previewed(route(blue=100), "green", "red"))
        for name in ("green", "red"):
            assert (await bed.get(x_delivery_preview=token(name))).json()["name"] == name
        await bed.apply(clusters, previewed(route(blue=100), "red"))
        assert (await bed.get(x_delivery_preview=token("green"))).json()["name"] == "blue"

    async def test_a_new_preview_must_be_healthy_and_one_that_broke_later_holds_up_nobody(self, bed: Bed) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        both = [cluster("blue", blue), cluster("green", green)]
        await bed.apply(both, route(blue=100))
        green.healthy = False
        await bed.apply(both[:1], route(blue=100))
        await bed.gone("green")
        await bed.held_back(bed.table(both, previewed(route(blue=100), "green")), "green")
        assert (await bed.get(x_delivery_preview=token("green"))).json()["name"] == "blue"
        green.healthy = True
        await bed.until_applied(bed.table(both, previewed(route(blue=100), "green")))
        green.healthy = False
        await bed.apply(both, previewed(route(blue=100), "green"), route("o.localhost", blue=100))
        assert (await bed.get(host="o.localhost")).json()["name"] == "blue"

    @pytest.mark.parametrize(
        ("previews", "words"),
        [
            ((Preview("green", "short"),), "must be 8 to 64"),
            ((Preview("green", 'with"quote"'),), "must be 8 to 64"),
            ((Preview("unknown", token("unknown")),), "no cluster"),
            ((Preview("green", token("x")), Preview("blue", token("x"))), "same token"),
        ],
    )
    async def test_previews_that_make_no_sense_are_rejected_without_telling_the_token(
        self, bed: Bed, previews: tuple[Preview, ...], words: str
    ) -> None:
        blue, green = await bed.upstream("blue"), await bed.upstream("green")
        table = bed.table([cluster("blue", blue), cluster("green", green)], replace(route(blue=100), previews=previews))
        (rejection,) = await bed.router.apply(table)
        assert words in rejection.message
        assert not any(p.token in rejection.message or p.token in repr(table) for p in previews)

    @pytest.mark.shortened
    async def test_new_users_come_by_weight_and_each_stays_where_it_came(self, bed: Bed) -> None:
        count = by_depth(short=500, long=2000)
        clients = [Client(bed) for _ in range(count)]
        await self._shares(bed, stable=80, canary=20)
        seen = await visit_all(bed, clients)
        assert abs(seen["canary"] - 0.2 * count) < 4.5 * math.sqrt(0.2 * 0.8 * count), seen
        for _ in range(by_depth(short=1, long=2)):
            assert await visit_all(bed, clients) == seen
        assert all(len(set(client.met)) == 1 for client in clients)

    @pytest.mark.deep
    async def test_canary_users_stay_while_its_weight_grows_and_all_return_when_it_falls(self, bed: Bed) -> None:
        clients = [Client(bed) for _ in range(1000)]
        await self._shares(bed, stable=90, canary=10)
        before = await visit_all(bed, clients)
        await self._shares(bed, stable=50, canary=50)
        after = await visit_all(bed, clients)
        assert 50 < before["canary"] < 160
        assert 420 < after["canary"] < 580
        assert all(client.met[1] == "canary" for client in clients if client.met[0] == "canary")
        await self._shares(bed, stable=100, canary=0)
        assert await visit_all(bed, clients) == {"stable": 1000}
        await self._shares(bed, stable=50, canary=50)
        await visit_all(bed, clients)
        assert all(client.met[3] == client.met[1] for client in clients)

    async def test_the_cookie_names_no_version_and_is_set_once(self, bed: Bed) -> None:
        await self._shares(bed, stable=50, canary=50)
        first = await bed.get()
        (given,) = first.headers.get_list("set-cookie")
        value, *attributes = given.split("; ")
        assert sorted(attributes) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax"]
        assert value.startswith("affinity=")
        assert "canary" not in value
        assert "stable" not in value
        again = await bed.get(cookie=f"theirs=1; {value}; more=2")
        assert not again.headers.get_list("set-cookie")
        assert again.json()["headers"]["cookie"] == f"theirs=1; {value}; more=2"
        for other in ("affinity=", "affinity2=x", "x=affinity"):
            assert (await bed.get(cookie=other)).headers.get_list("set-cookie"), other

    async def test_a_preview_of_a_sticky_host_leaves_the_cookie_alone(self, bed: Bed) -> None:
        await self._shares(bed, stable=100, canary=0)
        answer = await bed.get(x_delivery_preview=token("canary"))
        assert answer.json()["name"] == "canary"
        assert not answer.headers.get_list("set-cookie")

    async def _shares(self, bed: Bed, *, canary: int, stable: int) -> None:
        """The canary is the first target, and previewed."""
        known = {upstream.name: upstream for upstream in bed.upstreams}
        for name in ("canary", "stable"):
            known[name] = known.get(name) or await bed.upstream(name)
        shares: HostRoute = route(canary=canary, stable=stable)
        clusters = [cluster(name, known[name]) for name in ("canary", "stable")]
        await bed.apply(clusters, sticky(previewed(shares, "canary")))
