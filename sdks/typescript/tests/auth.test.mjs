import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import * as sdk from "@ai-agents/sdk";
import { envelope, failure, json, serve } from "./server.mjs";

const ACCOUNT = { clientId: "id", clientSecret: "hunter2" };

/** Gives tokens t1, t2, ...; refuses those of `bad`. */
function oauth({ life = 3600, bad = () => false, more = () => ({}) } = {}) {
  let count = 0;
  return ({ url, headers }) => {
    if (url === "/oauth/token") {
      count++;
      return json({ token_type: "Bearer", access_token: `t${count}`, expires_in: life, ...more(count) });
    }
    return bad(headers.authorization) ? json(failure("AUTHENTICATION_FAILED"), 401) : json(envelope({ is: headers.authorization }));
  };
}

const forms = (requests) => requests.filter((one) => one.url === "/oauth/token").map((one) => Object.fromEntries(new URLSearchParams(one.body)));
const get = (client, options) => client.projects.get({ project_id: "p" }, options);

test("many calls at a time fetch one token", async (t) => {
  const { client, requests } = await serve(t, oauth());
  const one = client({ ...ACCOUNT, scope: "projects:read" });
  const found = await Promise.all(Array.from({ length: 20 }, () => get(one)));
  assert.deepEqual(new Set(found.map((each) => each.is)), new Set(["Bearer t1"]));
  assert.deepEqual(forms(requests), [{ grant_type: "client_credentials", client_id: "id", client_secret: "hunter2", scope: "projects:read" }]);
  assert.equal(requests[0].headers["x-api-key"], undefined);
});

test("a token is renewed before its end", async (t) => {
  const { client, requests } = await serve(t, oauth({ life: 0 }));
  const one = client(ACCOUNT);
  assert.equal((await get(one)).is, "Bearer t1");
  assert.equal((await get(one)).is, "Bearer t2");
  assert.equal(forms(requests).length, 2);
});

test("a token that is refused is renewed once, by all who were refused", async (t) => {
  const { client, requests } = await serve(t, oauth({ bad: (header) => header === "Bearer t1" }));
  const one = client({ ...ACCOUNT, maxRetries: 0 });
  const found = await Promise.all([get(one), get(one), get(one)]);
  assert.deepEqual(found.map((each) => each.is), Array(3).fill("Bearer t2"));
  assert.equal(forms(requests).length, 2);
});

test("a new token that is refused too is an error", async (t) => {
  const { client, requests } = await serve(t, oauth({ bad: () => true }));
  await assert.rejects(get(client(ACCOUNT)), sdk.AuthenticationError);
  assert.equal(requests.length, 4);
});

test("a key and a token that stay are not tried again", async (t) => {
  const { client, requests } = await serve(t, oauth({ bad: () => true }));
  await assert.rejects(get(client()), sdk.AuthenticationError);
  await assert.rejects(get(client({ token: "fixed" })), sdk.AuthenticationError);
  assert.equal(requests.length, 2);
  assert.equal(requests[1].headers.authorization, "Bearer fixed");
});

test("a function is asked for the token, again after a 401", async (t) => {
  const { client, requests } = await serve(t, oauth({ bad: (header) => header === "Bearer old" }));
  const tokens = ["old", "new"];
  assert.equal((await get(client({ token: async () => tokens.shift() ?? "new" }))).is, "Bearer new");
  await assert.rejects(get(client({ token: () => "old" })), sdk.AuthenticationError);
  assert.equal(requests.length, 3);
});

test("each refresh uses the newest refresh token, and hands it over before it is used", async (t) => {
  const more = (count) => ({ refresh_token: `r${count}` });
  const { client, requests } = await serve(t, oauth({ life: 0, more }));
  const handed = [];
  const one = client({ clientId: "id", refreshToken: "r0", onRefreshToken: async (token) => void handed.push([token, requests.length]) });
  await get(one);
  await get(one);
  assert.deepEqual(forms(requests).map((form) => form.refresh_token), ["r0", "r1"]);
  assert.deepEqual(handed, [["r1", 1], ["r2", 3]]);
});

test("a refresh token that may have arrived is not sent twice: using it again would end the login", async (t) => {
  const { client, requests } = await serve(t, [json({ error: "temporarily_unavailable" }, 502, { "Retry-After": "0" })]);
  await assert.rejects(get(client({ clientId: "id", refreshToken: "r0" })), sdk.InternalServerError);
  assert.equal(requests.length, 1);
});

for (const status of [400, 401]) {
  test(`a client that the server does not know (${status}) is told`, async (t) => {
    const { client, requests } = await serve(t, [json({ error: "invalid_client", error_description: "unknown client" }, status)]);
    await assert.rejects(get(client(ACCOUNT)), (error) => {
      assert.ok(error instanceof sdk.AuthenticationError);
      assert.equal(error.code, "invalid_client");
      assert.match(error.message, /unknown client/);
      assert.doesNotMatch(inspect(error), /hunter2/);
      return true;
    });
    assert.equal(requests.length, 1);
  });
}

test("the OAuth server is asked again when it is busy, and what is no token is told", async (t) => {
  const { client } = await serve(t, ({ url }) => (url === "/oauth/token" ? tokens.shift() : json(envelope({}))));
  const tokens = [json({}, 503, { "Retry-After": "0" }), json({ access_token: "t", expires_in: 60 })];
  await get(client(ACCOUNT));
  tokens.push(json({ hello: "hunter2" }));
  await assert.rejects(get(client(ACCOUNT)), (error) => error instanceof sdk.InvalidResponseError && !error.message.includes("hunter2"));
});

test("one who gives up does not end the renewal of the others", async (t) => {
  let release;
  const { client, requests } = await serve(t, ({ url }) => (url === "/oauth/token"
    ? (_, response) => (release = () => json({ access_token: "t", expires_in: 60 })(_, response))
    : json(envelope({}))));
  const one = client(ACCOUNT);
  const end = new AbortController();
  const given = get(one, { signal: end.signal });
  const kept = get(one);
  while (!release) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  end.abort(new Error("enough"));
  await assert.rejects(given, { message: "enough" });
  release();
  await kept;
  assert.equal(forms(requests).length, 1);
});

test("a renewal that fails, and that nobody waits for any more, is no unhandled rejection", async (t) => {
  const { client, requests } = await serve(t, [json({ error: "invalid_client" }, 401)]);
  await assert.rejects(get(client(ACCOUNT), { signal: AbortSignal.abort(new Error("never begun")) }), { message: "never begun" });
  while (requests.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  await assert.rejects(get(client(ACCOUNT)), sdk.AuthenticationError);
});

test("no secret is in what is logged or shown", async (t) => {
  const { client, logged } = await serve(t, oauth({ more: () => ({ refresh_token: "rotated-hunter2" }) }));
  const one = client({ clientId: "id", clientSecret: "hunter2", refreshToken: "r0-hunter2" });
  await get(one);
  assert.doesNotMatch(JSON.stringify(logged) + inspect(one, { depth: 9, showHidden: true }), /hunter2|Bearer|\bt1\b/);
});
