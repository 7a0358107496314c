import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import * as sdk from "@ai-agents/sdk";
import { envelope, json, serve, stream, text } from "./server.mjs";

async function all(items) {
  const found = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

const log = (id, ...lines) => `id: ${id}\nevent: log\ndata: ${JSON.stringify({ lines })}\n\n`;
const line = (words) => ({ step: "build", text: words });

test("a followed log goes on where it broke off, to its end", async (t) => {
  const end = 'event: end\nid: 9\ndata: {"status": "success"}\n\n';
  const { client, requests } = await serve(t, [stream(log("1", line("a"), line("b")), { broken: true }), stream(log("2", line("c")) + end)]);
  assert.deepEqual(await all(client().builds.logs({ build_id: "b", follow: true })), [line("a"), line("b"), line("c")]);
  assert.deepEqual(requests.map((one) => one.url), ["/v1/builds/b/logs?follow=true", "/v1/builds/b/logs?follow=true"]);
  assert.equal(requests[1].headers["last-event-id"], "1");
});

test("a log that is over, after what was seen, ends", async (t) => {
  const { client } = await serve(t, [stream(log("1", line("a"))), text("", 204)]);
  assert.deepEqual(await all(client().operations.logs({ operation_id: "o", follow: true })), [line("a")]);
});

test("a stream that always breaks off ends", async (t) => {
  const { client } = await serve(t, [stream(": nothing\n\n")]);
  await assert.rejects(all(client().builds.logs({ build_id: "b", follow: true })), sdk.APIConnectionError);
});

test("a log that is not followed is read piece by piece, as text", async (t) => {
  const answers = ({ url }) => {
    const offset = Number(new URL(url, "http://x").searchParams.get("offset"));
    const piece = "one\ntwo\nthree".slice(offset, offset + 5);
    return text(piece, 200, { "Content-Type": "text/plain", "X-Next-Offset": String(offset + piece.length) });
  };
  const { client } = await serve(t, answers);
  const lines = await all(client().builds.logs({ build_id: "b", step: "build" }));
  assert.deepEqual(lines, ["one", "two", "three"].map(line));
});

test("a log that is awaited is what the API says of it", async (t) => {
  const { client, requests } = await serve(t, [json(envelope({ lines: [{ text: "x" }], instances: [] }))]);
  const { lines } = await client().deployments.logs({ deployment_id: "d", limit: 5, follow: true });
  assert.deepEqual(lines, [{ text: "x" }]);
  assert.deepEqual([requests[0].url, requests[0].headers.accept], ["/v1/deployments/d/logs?limit=5", "application/json"]);
  assert.deepEqual(await all(client().deployments.logs({ deployment_id: "d" })), [{ text: "x" }]);
});

test("an export is read line by line", async (t) => {
  const { client } = await serve(t, [text('{"id":"a"}\n{"id":"é"}\n', 200, { "Content-Type": "application/x-ndjson" })]);
  assert.deepEqual(await all(client().auditLog.export({ org_id: "o" })), [{ id: "a" }, { id: "é" }]);
});

test("an export that may not go on, or breaks off, is an error after what came", async (t) => {
  const denied = '{"id":"a"}\n{"error":{"code":"AUTHORIZATION_DENIED","message":"no more"}}\n';
  const { client } = await serve(t, [text(denied)]);
  const seen = [];
  await assert.rejects(async () => {
    for await (const one of client().auditLog.export({ org_id: "o" })) {
      seen.push(one);
    }
  }, sdk.AuthorizationDeniedError);
  assert.deepEqual(seen, [{ id: "a" }]);
  const cut = (_, response) => {
    response.writeHead(200, { "Content-Length": "1000" });
    response.write('{"id":"a"}\n');
    setImmediate(() => setImmediate(() => response.destroy()));
  };
  const broken = await serve(t, [cut]);
  await assert.rejects(all(broken.client().auditLog.export({ org_id: "o" })), sdk.APIConnectionError);
});

test("who leaves a stream closes it", async (t) => {
  let left;
  const gone = new Promise((resolve) => {
    left = resolve;
  });
  const endless = (_, response) => {
    response.on("close", left);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(log("1", line("a")));
  };
  const { client } = await serve(t, [endless]);
  for await (const one of client().builds.logs({ build_id: "b", follow: true })) {
    assert.deepEqual(one, line("a"));
    break;
  }
  await gone;
});

test("a document is JSON as it is", async (t) => {
  const { client, requests } = await serve(t, [json({ bomFormat: "CycloneDX" }, 200, { "Content-Type": "application/vnd.cyclonedx+json" })]);
  assert.deepEqual(await client().builds.sbom({ build_id: "b" }), { bomFormat: "CycloneDX" });
  assert.match(requests[0].headers.accept, /cyclonedx\+json/);
});

/** What the package does not export. */
async function internal(path) {
  const { outputFiles } = await build({ entryPoints: [fileURLToPath(new URL(path, import.meta.url))], bundle: true, format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

test("events are read whatever ends their lines, and wherever they are cut", async () => {
  const { EventParser } = await internal("../src/sse.ts");
  const whole = "\uFEFF: hello\r\nid: 1\r\nevent: a\r\ndata: x\r\ndata: y\r\n\r\ndata:z\n\nid\ndata\n\nevent: cut off";
  const expected = [
    { event: "a", data: "x\ny", id: "1" },
    { event: "message", data: "z", id: "1" },
    { event: "message", data: "", id: "" },
  ];
  for (let size = 1; size <= whole.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let from = 0; from < whole.length; from += size) {
      found.push(...parser.feed(whole.slice(from, from + size)));
    }
    assert.deepEqual(found, expected, `pieces of ${size}`);
  }
});
