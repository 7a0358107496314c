import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { test } from "node:test";
import { WebhookVerificationError, webhooks } from "@ai-agents/sdk";
import { verify } from "@ai-agents/sdk/webhooks";

// The vector of the Standard Webhooks libraries.
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const NOW = 1614265330;
const BODY = '{"test": 2432232314}';

const OURS = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const signed = (more = {}) => ({ "webhook-id": ID, "webhook-timestamp": String(NOW), "webhook-signature": OURS, ...more });
const hex = (secret, body = BODY) => `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
const check = (headers, secrets = SECRET, options = {}) => webhooks.verify(BODY, headers, secrets, { now: NOW, ...options });
const refused = (promise, message = /./) => assert.rejects(promise, (error) => error instanceof WebhookVerificationError && message.test(error.message));

test("a signature that is right gives the event, known or not", async () => {
  assert.deepEqual(await check(signed()), { test: 2432232314 });
  assert.deepEqual(await verify(new TextEncoder().encode(BODY), new Headers(signed()), SECRET, { now: NOW }), { test: 2432232314 });
  assert.deepEqual(await check({ "Webhook-ID": ID, "WEBHOOK-TIMESTAMP": String(NOW), "Webhook-Signature": [OURS] }), { test: 2432232314 });
});

test("one of several signatures, and one of several secrets, is enough", async () => {
  const other = `whsec_${randomBytes(24).toString("base64")}`;
  await check(signed({ "webhook-signature": `v1a,AAAA v1,${randomBytes(32).toString("base64")} ${OURS} v2,x` }));
  await check(signed(), [other, SECRET]);
  await refused(check(signed(), other), /right secret/);
  await refused(check(signed({ "webhook-signature": OURS.replace("v1,", "v2,") })));
});

test("a request that is too old or too young is refused, and the clock is named", async () => {
  await check(signed(), SECRET, { now: NOW + 300 });
  await check(signed(), SECRET, { now: NOW - 300 });
  await refused(check(signed(), SECRET, { now: NOW + 301 }), /301 s older.*clock/);
  await refused(check(signed(), SECRET, { now: NOW - 600 }), /600 s younger/);
  await check(signed(), SECRET, { now: NOW + 600, toleranceSeconds: 600 });
  await refused(verify(BODY, signed(), SECRET), /older/);
});

for (const [what, headers] of [
  ["no headers", {}],
  ["no id", signed({ "webhook-id": undefined })],
  ["no time", signed({ "webhook-timestamp": undefined })],
  ["a time that is none", signed({ "webhook-timestamp": "soon" })],
  ["an empty signature", signed({ "webhook-signature": "" })],
  ["a signature that is no base64", signed({ "webhook-signature": "v1,***" })],
  ["half a signature", signed({ "webhook-signature": OURS.slice(0, 20) })],
  ["another id", signed({ "webhook-id": "msg_other" })],
  ["half of the contract's signature", { "x-signature-256": hex(SECRET).slice(0, 30) }],
  ["the contract's signature beside a wrong one", signed({ "webhook-signature": "v1,AAAA", "x-signature-256": hex(SECRET) })],
]) {
  test(`${what}: refused`, () => refused(check(headers)));
}

test("the contract's signature decides where there is no other", async () => {
  assert.deepEqual(await check({ "X-Signature-256": hex(SECRET) }), { test: 2432232314 });
  await check({ "X-Signature-256": hex("any text") }, ["other", "any text"]);
  await refused(check({ "X-Signature-256": hex(SECRET, "other") }));
});

test("a body that is no JSON, or was parsed, is told", async () => {
  const headers = { "X-Signature-256": hex(SECRET, "hello") };
  await refused(webhooks.verify("hello", headers, SECRET), /no JSON/);
  await assert.rejects(webhooks.verify({ test: 1 }, headers, SECRET), { name: "TypeError", message: /raw body/ });
  await assert.rejects(webhooks.verify("{}", headers, []), TypeError);
  await assert.rejects(webhooks.verify("{}", headers, ""), TypeError);
});
