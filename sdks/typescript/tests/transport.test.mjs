import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { inspect } from "node:util";
import * as sdk from "@ai-agents/sdk";
import { envelope, failure, json, serve, text } from "./server.mjs";

const PROJECT = { id: "p1", name: "Web", status: "frozen_by_a_newer_server", a_newer_field: { deep: [1] } };

test("what the server knows and we do not is kept", async (t) => {
  const { client } = await serve(t, [json(envelope(PROJECT))]);
  assert.deepEqual(await client().projects.get({ project_id: "p1" }), PROJECT);
});

test("a request has its path, query, body and headers where they belong", async (t) => {
  const { client, requests } = await serve(t, [json(envelope(PROJECT))]);
  await client({ defaultHeaders: { "X-Mine": "1" } }).projects.update(
    { project_id: "p/1 é!", name: "New", description: null, if_match: '"tag"', a_newer_field: 1 },
    { extraHeaders: { "X-Request-ID": "mine" } },
  );
  const [{ method, url, headers, body }] = requests;
  assert.equal(`${method} ${url}`, "PATCH /v1/projects/p%2F1%20%C3%A9%21");
  assert.deepEqual(JSON.parse(body), { name: "New", description: null, a_newer_field: 1 });
  assert.equal(headers["if-match"], '"tag"');
  assert.equal(headers["x-api-key"], "sk-live_secret");
  assert.equal(headers["x-mine"], "1");
  assert.equal(headers["x-request-id"], "mine");
  assert.match(headers["user-agent"], /^ai-agents-sdk-typescript\/\d/);
  assert.match(headers["idempotency-key"], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("a query has what was given, dates in UTC, and names that it does not know", async (t) => {
  const { client, requests } = await serve(t, [json(envelope({}))]);
  const until = new Date("2026-01-31T00:00:00Z");
  await client().projects.deliveryMetrics({ project_id: "p1", until, environment: undefined, mistyped: "x y" });
  assert.equal(requests[0].url, "/v1/projects/p1/delivery-metrics?until=2026-01-31T00%3A00%3A00.000Z&mistyped=x+y");
});

for (const value of ["", ".", "..", undefined, null, {}]) {
  test(`a path's value cannot be ${inspect(value)}`, async (t) => {
    const { client, requests } = await serve(t, [json(envelope({}))]);
    await assert.rejects(client().projects.get({ project_id: value }), { name: "TypeError", message: /project_id/ });
    assert.equal(requests.length, 0);
  });
}

for (const end of ["", "/", "/v1", "/v1/", "/deep/prefix", "/deep/prefix/v1//"]) {
  test(`an address may end in ${end || "nothing"}`, async (t) => {
    const { address, client, requests } = await serve(t, [json(envelope({}))]);
    await client({ baseUrl: address + end }).projects.get({ project_id: "p1" });
    assert.equal(requests[0].url, `${end.startsWith("/deep") ? "/deep/prefix" : ""}/v1/projects/p1`);
  });
}

test("options that cannot be are refused, without showing what is secret", () => {
  const good = { baseUrl: "http://localhost", apiKey: "k" };
  for (const wrong of [
    { baseUrl: "localhost:8080" },
    { baseUrl: "" },
    { baseUrl: "http://me:hunter2@localhost" },
    { baseUrl: "http://localhost?x=hunter2" },
    { apiKey: "hunter2\nx" },
    { apiKey: "" },
    { token: "hunter2" },
    { apiKey: undefined, clientId: "c" },
    { apiKey: undefined, clientSecret: "hunter2" },
    { logLevel: "loud" },
  ]) {
    const refused = (error) => error instanceof TypeError && !error.message.includes("hunter2");
    assert.throws(() => new sdk.Client({ ...good, ...wrong }), refused, inspect(wrong));
  }
});

test("the environment says where and who", async (t) => {
  const { address, requests } = await serve(t, [json(envelope({}))]);
  process.env.AI_AGENTS_BASE_URL = address;
  process.env.AI_AGENTS_API_KEY = "sk-live_env\n";
  t.after(() => {
    delete process.env.AI_AGENTS_BASE_URL;
    delete process.env.AI_AGENTS_API_KEY;
  });
  await new sdk.Client().projects.get({ project_id: "p1" });
  assert.equal(requests[0].headers["x-api-key"], "sk-live_env");
});

test("a try more has the same idempotency key; GET and DELETE have none", async (t) => {
  const { client, requests } = await serve(t, [
    json(failure("SERVICE_UNAVAILABLE"), 503, { "Retry-After": "0" }),
    json(failure("IDEMPOTENCY_IN_PROGRESS"), 409, { "Retry-After": "0" }),
    json(envelope(PROJECT), 201),
    text("", 204),
    json(envelope(PROJECT)),
  ]);
  await client().projects.create({ org_id: "o", name: "x", slug: "x" });
  const keys = requests.map((one) => one.headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.equal(await client().projects.delete({ project_id: "p1" }), undefined);
  await client().projects.get({ project_id: "p1" });
  assert.deepEqual(requests.slice(3).map((one) => one.headers["idempotency-key"]), [undefined, undefined]);
  await client().projects.create({ org_id: "o", name: "x", slug: "x" }, { idempotencyKey: "mine" });
  assert.equal(requests[5].headers["idempotency-key"], "mine");
});

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`${status} is tried three times`, async (t) => {
    const { client, requests } = await serve(t, [json(failure("X"), status, { "Retry-After": "0" })]);
    await assert.rejects(client().projects.get({ project_id: "p1" }), { status });
    assert.equal(requests.length, 3);
    await assert.rejects(client().projects.get({ project_id: "p1" }, { maxRetries: 0 }), { status });
    assert.equal(requests.length, 4);
  });
}

for (const [status, code] of [[400, "VALIDATION_ERROR"], [401, "AUTHENTICATION_FAILED"], [409, "CONFLICT"], [422, "UNPROCESSABLE"]]) {
  test(`${status} ${code} is not tried again`, async (t) => {
    const { client, requests } = await serve(t, [json(failure(code), status)]);
    await assert.rejects(client().projects.get({ project_id: "p1" }), { status, code });
    assert.equal(requests.length, 1);
  });
}

test("429 for an hour ends at once, and says when to come again", async (t) => {
  const { client, requests } = await serve(t, [json(failure("RATE_LIMIT_EXCEEDED", "slow down"), 429, { "Retry-After": "3600" })]);
  await assert.rejects(client().projects.get({ project_id: "p1" }), (error) => {
    assert.ok(error instanceof sdk.RateLimitError);
    assert.equal(error.retryAfter, 3600);
    assert.match(error.message, /^slow down .*3600 s/);
    return true;
  });
  assert.equal(requests.length, 1);
});

test("a date to come again is compared with the server's clock, ten minutes off as it is", async (t) => {
  const now = Date.now() + 600_000;
  const headers = { Date: new Date(now).toUTCString(), "Retry-After": new Date(now).toUTCString() };
  const { client, requests } = await serve(t, [json(failure("X"), 503, headers), json(envelope(PROJECT))]);
  await client().projects.get({ project_id: "p1" });
  assert.equal(requests.length, 2);
});

const CLASSES = [
  [400, "BadRequestError", "VALIDATION_ERROR", "ValidationError"],
  [401, "AuthenticationError", "AUTHENTICATION_FAILED", "AuthenticationFailedError"],
  [403, "PermissionDeniedError", "QUOTA_EXCEEDED", "QuotaExceededError"],
  [404, "NotFoundError", "RESOURCE_NOT_FOUND", "ResourceNotFoundError"],
  [405, "APIError", "METHOD_NOT_ALLOWED", "MethodNotAllowedError"],
  [408, "RequestTimeoutError", "TIMEOUT", "RequestTimeoutError"],
  [409, "ConflictError", "DUPLICATE_SLUG", "DuplicateSlugError"],
  [409, "ConflictError", "CONFLICT", "ConflictError"],
  [410, "APIError", "RESOURCE_NOT_FOUND", "APIError"],
  [412, "PreconditionFailedError", "PRECONDITION_FAILED", "PreconditionFailedError"],
  [413, "ContentTooLargeError", "PAYLOAD_TOO_LARGE", "PayloadTooLargeError"],
  [415, "UnsupportedMediaTypeError", "UNSUPPORTED_MEDIA_TYPE", "UnsupportedMediaTypeError"],
  [422, "UnprocessableContentError", "IDEMPOTENCY_KEY_REUSED", "IdempotencyKeyReusedError"],
  [429, "RateLimitError", "RATE_LIMIT_EXCEEDED", "RateLimitExceededError"],
  [500, "InternalServerError", "INTERNAL_ERROR", "InternalError"],
  [504, "InternalServerError", "TIMEOUT", "GatewayTimeoutError"],
  [403, "PermissionDeniedError", "A_NEWER_CODE", "PermissionDeniedError"],
  [418, "APIError", "A_NEWER_CODE", "APIError"],
  [599, "InternalServerError", "A_NEWER_CODE", "InternalServerError"],
];
for (const [status, base, code, name] of CLASSES) {
  test(`${status} ${code} is a ${name}`, async (t) => {
    const details = [{ field: "name", message: "too short", pointer: "/name", code: "too_short" }];
    const { client } = await serve(t, [json(failure(code, "said", details), status, { "X-Request-ID": "req-9" })]);
    await assert.rejects(client({ maxRetries: 0 }).projects.get({ project_id: "p1" }), (error) => {
      assert.equal(error.name, name);
      for (const kind of [name, base, "APIError", "AIAgentsError"]) {
        assert.ok(error instanceof sdk[kind], kind);
      }
      assert.deepEqual([error.message, error.code, error.details, error.requestId], ["said", code, details, "req-9"]);
      return true;
    });
  });
}

test("a proxy's page with an error status is the status's error, and shown", async (t) => {
  const { client } = await serve(t, [text("<html>Bad gateway</html>", 502, { "Content-Type": "text/html", "Retry-After": "0" })]);
  await assert.rejects(client().projects.get({ project_id: "p1" }), (error) => {
    assert.ok(error instanceof sdk.InternalServerError);
    assert.equal(error.code, null);
    assert.match(error.message, /502, text\/html, "<html>Bad gateway/);
    return true;
  });
});

for (const [what, body, type] of [
  ["a proxy's page", `<html>${"login ".repeat(100)}`, "text/html"],
  ["JSON cut in half", '{"success": true, "data": {"id": "p', "application/json"],
  ["JSON of somebody else", '{"hello": "world"}', "application/json"],
  ["nothing", "", "application/json"],
]) {
  test(`${what} with 200 is no answer of the API`, async (t) => {
    const { client, requests } = await serve(t, [text(body, 200, { "Content-Type": type })]);
    await assert.rejects(client().projects.get({ project_id: "p1" }), (error) => {
      assert.ok(error instanceof sdk.InvalidResponseError);
      assert.equal(error.status, 200);
      assert.ok(error.message.includes("status 200") && error.message.includes(type) && error.message.length < 450);
      return true;
    });
    assert.equal(requests.length, 1);
  });
}

test("an answer that breaks off is a broken connection, and tried again", async (t) => {
  const cut = (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "1000" });
    response.write('{"success": true, ');
    setImmediate(() => response.destroy());
  };
  const { client, requests } = await serve(t, [cut, json(envelope(PROJECT))]);
  assert.equal((await client().projects.get({ project_id: "p1" })).id, "p1");
  assert.equal(requests.length, 2);
  const always = await serve(t, [cut]);
  await assert.rejects(always.client({ maxRetries: 0 }).projects.get({ project_id: "p1" }), sdk.APIConnectionError);
});

test("an address where nobody listens, and a name that is none, are said", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address();
  closed.close();
  await once(closed, "close");
  const get = (baseUrl) => new sdk.Client({ baseUrl, apiKey: "k", maxRetries: 0 }).projects.get({ project_id: "p" });
  const refused = { name: "APIConnectionError", message: new RegExp(`127.0.0.1:${port} \\(ECONNREFUSED\\): nothing listens`) };
  await assert.rejects(get(`http://127.0.0.1:${port}`), refused);
  await assert.rejects(get("http://no-such-host.invalid"), sdk.APIConnectionError);
});

test("a certificate that is not trusted is not tried again", async (t) => {
  let tries = 0;
  const { client } = await serve(t, []);
  const fetch = () => {
    tries++;
    return Promise.reject(new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }) }));
  };
  await assert.rejects(client({ fetch }).projects.get({ project_id: "p" }), { message: /certificate is not trusted/ });
  assert.equal(tries, 1);
});

test("a try has a limit", async (t) => {
  const { client, requests } = await serve(t, [() => undefined]);
  await assert.rejects(client({ timeout: 50, maxRetries: 1 }).projects.get({ project_id: "p1" }), sdk.APITimeoutError);
  assert.equal(requests.length, 2);
  await assert.rejects(client().projects.get({ project_id: "p1" }, { timeout: 0 }), TypeError);
});

test("a signal ends a request, and the waiting before the next", async (t) => {
  const end = new AbortController();
  const slow = await serve(t, () => {
    end.abort(new Error("enough"));
    return () => undefined;
  });
  await assert.rejects(slow.client().projects.get({ project_id: "p" }, { signal: end.signal }), { message: "enough" });
  const later = new AbortController();
  const busy = await serve(t, () => {
    setTimeout(() => later.abort(new Error("enough")), 20);
    return json(failure("X"), 503, { "Retry-After": "50" });
  });
  await assert.rejects(busy.client().projects.get({ project_id: "p" }, { signal: later.signal }), { message: "enough" });
  const before = AbortSignal.abort(new Error("never begun"));
  await assert.rejects(busy.client().projects.get({ project_id: "p" }, { signal: before }), { message: "never begun" });
  assert.equal(busy.requests.length, 1);
});

test("a redirect is not followed: the key stays here", async (t) => {
  const elsewhere = await serve(t, [json(envelope(PROJECT))]);
  const { client, requests } = await serve(t, [text("", 301, { Location: elsewhere.address })]);
  await assert.rejects(client().projects.get({ project_id: "p" }), { name: "APIError", status: 301, message: /leads to http/ });
  assert.equal(requests.length, 1);
  assert.equal(elsewhere.requests.length, 0);
});

test("an answer can be had as it came", async (t) => {
  const { client } = await serve(t, [json(envelope(PROJECT), 200, { ETag: '"e"' })]);
  const raw = await client().projects.get({ project_id: "p" }).withRawResponse();
  assert.deepEqual([raw.status, raw.headers.get("etag"), raw.parsed], [200, '"e"', PROJECT]);
  assert.deepEqual(JSON.parse(raw.body), envelope(PROJECT));
});

test("what a method gives back is a promise", async (t) => {
  const { client } = await serve(t, (request) => (request.url.endsWith("bad") ? json(failure("X"), 400) : json(envelope(PROJECT))));
  const get = (project_id) => client().projects.get({ project_id });
  const [one, two] = await Promise.all([get("a"), get("b").then((found) => found.name)]);
  assert.deepEqual([one.id, two], ["p1", "Web"]);
  assert.equal(await get("bad").catch(() => "caught"), "caught");
  let finished = 0;
  await get("a").finally(() => finished++);
  await assert.rejects(get("bad").finally(() => finished++), sdk.BadRequestError);
  assert.equal(finished, 2);
  const last = get("a");
  assert.ok(last instanceof Promise);
  await last;
});

test("a state that is known already is said", async (t) => {
  const { client } = await serve(t, [text("", 304)]);
  await assert.rejects(client().projects.get({ project_id: "p", if_none_match: '"e"' }), { status: 304, message: /Not modified/ });
});

test("health has no envelope", async (t) => {
  const { client } = await serve(t, [json({ status: "healthy" })]);
  assert.deepEqual(await client().health.check(), { status: "healthy" });
});

test("an operation that ends some day is told of once", async (t) => {
  const headers = { Deprecation: "@1767225600", Sunset: "Wed, 01 Jul 2026 00:00:00 GMT", Link: '</v2/roles>; rel="successor-version"' };
  const { client, logged } = await serve(t, [json(envelope([]), 200, headers)]);
  await client().roles.list();
  await client().roles.list();
  const warned = logged.filter((one) => one.level === "warn");
  assert.deepEqual(warned.map((one) => one.message), [
    "roles.list is deprecated since 2026-01-01, and ends on Wed, 01 Jul 2026 00:00:00 GMT: use /v2/roles",
  ]);
});

test("nothing that is printed or logged has a secret", async (t) => {
  const { client, logged } = await serve(t, [json(failure("X"), 503, { "Retry-After": "0" }), json(envelope({ id: "s" }), 201)]);
  const one = client();
  await one.secrets.create({ project_id: "p", name: "DB", value: "hunter2", kind: "runtime", environment: "staging" });
  assert.ok(logged.length >= 3);
  const all = JSON.stringify(logged) + inspect(one, { depth: 9, showHidden: true }) + JSON.stringify(one) + String(one) + inspect(one.projects, { depth: 9, showHidden: true });
  assert.doesNotMatch(all, /hunter2|sk-live/);
});
