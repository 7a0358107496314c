"""The service's own tests, run by the delivery engine before packaging."""

import asyncio
import json
import unittest
from contextlib import asynccontextmanager

from app import Hello
from faults import Fault, parse_fault
from http_server import Server


@asynccontextmanager
async def serving(fault="none"):
    """A server on a free port; yields a function that sends bytes and returns the whole answer."""
    server = Server(Hello("1.2.3", parse_fault(fault), fault).answer)
    port = await server.start("127.0.0.1", 0)

    async def exchange(request):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer.decode()

    try:
        yield exchange
    finally:
        await server.stop(1)


def get(path, connection="close"):
    return f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n".encode()


class PagesTest(unittest.IsolatedAsyncioTestCase):
    async def test_version_says_what_runs(self):
        async with serving() as exchange:
            head, _, body = (await exchange(get("/version"))).partition("\r\n\r\n")
        self.assertIn("200 OK", head)
        self.assertEqual(json.loads(body)["version"], "1.2.3")

    async def test_the_page_shows_the_version(self):
        async with serving() as exchange:
            self.assertIn("<h1>1.2.3</h1>", await exchange(get("/")))

    async def test_unknown_pages_are_404(self):
        async with serving() as exchange:
            self.assertIn("404 Not Found", await exchange(get("/nothing")))

    async def test_two_pipelined_requests_get_two_answers_on_one_connection(self):
        async with serving() as exchange:
            answer = await exchange(get("/healthz", "keep-alive") + get("/healthz"))
        self.assertEqual(answer.count("200 OK"), 2)

    async def test_slow_waits_and_bounds_its_argument(self):
        async with serving() as exchange:
            self.assertIn("waited 20 ms", await exchange(get("/slow?ms=20")))
            self.assertIn("400 Bad Request", await exchange(get("/slow?ms=99999999")))

    async def test_nonsense_is_a_400(self):
        async with serving() as exchange:
            self.assertIn("400 Bad Request", await exchange(b"nonsense\r\n\r\n"))


class FaultTest(unittest.IsolatedAsyncioTestCase):
    async def test_unhealthy_breaks_the_health_check_only(self):
        async with serving("unhealthy") as exchange:
            self.assertIn("500", await exchange(get("/healthz")))
            self.assertIn("200 OK", await exchange(get("/")))

    def test_errors_are_spread_evenly(self):
        broken = [Fault("errors", 5).breaks_request(n) for n in range(1, 1001)]
        self.assertEqual(sum(broken), 50)

    def test_an_unknown_switch_names_the_choices(self):
        with self.assertRaisesRegex(ValueError, "wrong-port"):
            parse_fault("gremlins")


class StopTest(unittest.IsolatedAsyncioTestCase):
    async def test_a_request_in_flight_is_finished(self):
        async with serving() as exchange:
            answer = asyncio.ensure_future(exchange(get("/slow?ms=200", "keep-alive")))
            await asyncio.sleep(0.05)
        self.assertIn("waited 200 ms", await answer)


if __name__ == "__main__":
    unittest.main()
