import assert from "node:assert/strict";
import { test } from "node:test";
import * as sdk from "@ai-agents/sdk";
import { envelope, failure, json, serve, stream, text } from "./server.mjs";

const ACCEPTED = { operation_id: "op", status: "pending", resource_type: "deployment", resource_id: "d1", progress_url: "/operations/op", poll_interval_seconds: 0 };
const STEPS = [{ name: "source", status: "completed" }, { name: "build", status: "failed" }];
const state = (version, status, more = {}) => ({
  operation_id: "op", kind: "build_and_deploy", status, version, progress_percent: version * 10, resource_id: "d1", steps: STEPS, error: null,
  done: ["completed", "failed", "cancelled"].includes(status), ...more,
});
const progress = (one) => `id: ${one.version}\nevent: progress\ndata: ${JSON.stringify(one)}\n\n`;
const DEPLOYMENT = { id: "d1", status: "success" };

/** `events`: what each look at the stream gets; `looks`: what each GET of the operation gets. */
function api(events, looks = []) {
  const counts = { events: 0, looks: 0 };
  return ({ method, url }) => {
    if (method === "POST") {
      return json(envelope(url.endsWith("/cancel") ? state(3, "cancelling") : ACCEPTED), 202);
    }
    if (url.endsWith("/events")) {
      return events[Math.min(counts.events++, events.length - 1)];
    }
    return json(envelope(url.includes("deployments") ? DEPLOYMENT : looks[Math.min(counts.looks++, looks.length - 1)]));
  };
}

const begun = (client) =>
  client.features.buildAndDeploy({ feature_id: "f", version_tag: "1.0.0", git_branch: "main", environment: "staging" });
const paths = (requests) => requests.map((one) => `${one.method} ${one.url.replace("/v1", "")}`);

test("an operation is followed by its events, across a broken stream, to its deployment", async (t) => {
  const first = progress(state(1, "in_progress")) + ": still there\n\nevent: something_newer\ndata: {}\n\n";
  const answers = api([stream(first, { broken: true }), stream(progress(state(1, "in_progress")) + progress(state(2, "completed")))]);
  const { client, requests } = await serve(t, answers);
  const operation = await begun(client());
  assert.deepEqual([operation.id, operation.status, operation.done, operation.deploymentId], ["op", "pending", false, "d1"]);
  const told = [];
  assert.deepEqual(await operation.result({ onProgress: (one) => told.push(one.progress_percent) }), DEPLOYMENT);
  assert.deepEqual(told, [10, 20]);
  assert.equal(operation.done, true);
  assert.deepEqual(paths(requests).slice(1), ["GET /operations/op/events", "GET /operations/op/events", "GET /deployments/d1"]);
  assert.deepEqual(requests.slice(1, 3).map((one) => one.headers["last-event-id"]), [undefined, "1"]);
  assert.equal(requests[1].headers.accept, "text/event-stream");
});

for (const [what, answer] of [
  ["no events there", json(failure("RESOURCE_NOT_FOUND"), 404)],
  ["a proxy without streams", text("<html>", 200, { "Content-Type": "text/html" })],
  ["too many streams", json(failure("RATE_LIMIT_EXCEEDED"), 429, { "Retry-After": "99" })],
]) {
  test(`${what}: it is looked at from time to time`, async (t) => {
    const { client, requests } = await serve(t, api([answer], [state(1, "in_progress"), state(1, "in_progress"), state(2, "completed")]));
    const told = [];
    const operation = await begun(client());
    await operation.wait({ onProgress: (one) => told.push(one.version), pollInterval: 1 });
    assert.deepEqual(told, [1, 2]);
    assert.equal(paths(requests).filter((one) => one === "GET /operations/op").length, 3);
  });
}

test("204 says that it is over: it is read", async (t) => {
  const { client } = await serve(t, api([text("", 204)], [state(4, "completed")]));
  assert.equal((await (await begun(client())).wait()).version, 4);
});

test("an operation that failed is no error to wait for, and one to have the result of", async (t) => {
  const error = { code: "BUILD_FAILED", message: "make: error 2", details: [] };
  const { client } = await serve(t, api([stream(progress(state(2, "failed", { error })))]));
  const operation = await begun(client());
  assert.equal((await operation.wait()).status, "failed");
  await assert.rejects(operation.result(), (raised) => {
    assert.ok(raised instanceof sdk.OperationFailedError);
    assert.deepEqual([raised.code, raised.operationId, raised.steps], ["BUILD_FAILED", "op", STEPS]);
    assert.match(raised.message, /failed at build: make: error 2/);
    return true;
  });
});

test("one that was cancelled has no result", async (t) => {
  const { client } = await serve(t, api([stream(progress(state(5, "cancelled")))]));
  const operation = await begun(client());
  assert.equal((await operation.cancel({ reason: "wrong branch" })).status, "cancelling");
  await assert.rejects(operation.result(), { name: "OperationFailedError", code: "CANCELLED" });
});

test("waiting has an end, and says how to wait on", async (t) => {
  const silent = (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(progress(state(1, "in_progress")));
  };
  const { client } = await serve(t, api([silent]));
  const operation = await begun(client());
  await assert.rejects(operation.wait({ timeout: 200 }), (raised) => {
    assert.ok(raised instanceof sdk.OperationTimeoutError);
    assert.equal(raised.operationId, "op");
    assert.match(raised.message, /still in_progress.*resume\("op"\)/);
    return true;
  });
});

test("another process waits on by the id", async (t) => {
  const { client } = await serve(t, api([stream(progress(state(2, "completed")))], [state(1, "in_progress")]));
  const operation = await client().operations.resume("op");
  assert.deepEqual([operation.status, operation.deploymentId], ["in_progress", "d1"]);
  assert.deepEqual(await operation.result(), DEPLOYMENT);
});

test("a reader that may not read any more is told", async (t) => {
  const closed = 'event: closed\ndata: {"code": "AUTHENTICATION_FAILED", "message": "the token was revoked"}\n\n';
  const { client } = await serve(t, api([stream(closed)]));
  await assert.rejects((await begun(client())).wait(), { name: "AuthenticationFailedError", message: "the token was revoked" });
});

test("what onProgress throws, and a signal, end the waiting", async (t) => {
  const { client } = await serve(t, api([stream(progress(state(1, "in_progress")))]));
  const operation = await begun(client());
  const onProgress = () => Promise.reject(new Error("mine"));
  await assert.rejects(operation.wait({ onProgress }), { message: "mine" });
  const end = new AbortController();
  await assert.rejects(operation.wait({ signal: end.signal, onProgress: () => end.abort(new Error("enough")) }), { message: "enough" });
});

test("events can be had as they are", async (t) => {
  const { client } = await serve(t, api([stream(progress(state(1, "in_progress"))), stream(progress(state(2, "completed")))]));
  const versions = [];
  for await (const operation of client().operations.events({ operation_id: "op" })) {
    versions.push(operation.version);
  }
  assert.deepEqual(versions, [1, 2]);
});

test("a 202 of another method is read as the deployment it names; a 201 is one", async (t) => {
  const answers = ({ method, url }) => (method === "GET" ? json(envelope(DEPLOYMENT)) : url.includes("b1") ? json(envelope(ACCEPTED), 202) : json(envelope({ id: "d2" }), 201));
  const { client, requests } = await serve(t, answers);
  assert.deepEqual(await client().deployments.create({ build_id: "b1", environment: "staging" }), DEPLOYMENT);
  assert.deepEqual(await client().deployments.create({ build_id: "b2", environment: "staging" }), { id: "d2" });
  assert.equal(requests.length, 3);
});
