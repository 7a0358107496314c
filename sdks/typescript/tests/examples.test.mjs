// The examples run, as they stand, against a server that answers as the API does.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { envelope, json, serve, stream } from "./server.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));

/** Starts an example; `output()` is what it has written. */
async function start(t, name, args, environment) {
  const folder = mkdtempSync(`${here}dist/example-`);
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = `${folder}/${name}.mjs`;
  await build({ entryPoints: [`${here}examples/${name}.ts`], outfile, format: "esm", bundle: false, logLevel: "silent" });
  const child = spawn(process.execPath, [outfile, ...args], { cwd: here, env: { ...process.env, ...environment } });
  t.after(() => child.kill());
  let output = "";
  child.stdout.on("data", (piece) => (output += piece));
  child.stderr.on("data", (piece) => (output += piece));
  return { child, output: () => output };
}

async function ran(t, name, args, answers) {
  const { address, requests } = await serve(t, answers);
  const { child, output } = await start(t, name, args, { AI_AGENTS_BASE_URL: address, AI_AGENTS_API_KEY: "k" });
  const [code] = await once(child, "exit");
  assert.equal(code, 0, output());
  return { output: output(), requests };
}

const page = (data) => json(envelope(data, { pagination: { page: 1, page_size: 20, total: data.length, has_next: false, next_cursor: null } }));

test("first_call", async (t) => {
  const answers = ({ url }) => page(url.includes("/projects") ? [{ name: "Web", status: "active" }] : [{ id: "o", name: "Acme" }]);
  assert.equal((await ran(t, "first_call", [], answers)).output, "Acme\n  Web: active\n");
});

test("contract", async (t) => {
  const answers = ({ method, url, body }) =>
    method === "GET" ? page([{ id: "p" }]) : json(envelope({ id: url, status: "pending", ...JSON.parse(body) }), 201);
  const { output, requests } = await ran(t, "contract", ["o", "f"], answers);
  assert.equal(output, "New Feature: 1.2.0 is pending\n");
  assert.deepEqual(requests.map((one) => one.url.split("?")[0]), [
    "/v1/organizations/o/projects", "/v1/projects/p/requirements", "/v1/features/f/builds", "/v1/builds/%2Fv1%2Ffeatures%2Ff%2Fbuilds/deploy",
  ]);
  const [, , build, deployment] = requests.map((one) => one.body && JSON.parse(one.body));
  assert.deepEqual(build, { git_branch: "main", version_tag: "1.2.0", git_commit_hash: "abc1234" });
  assert.deepEqual(deployment, { environment: "production", request_approval: true });
});

test("build_and_deploy", async (t) => {
  const state = { operation_id: "op", version: 1, resource_id: "d", steps: [], progress_percent: 100, done: true, status: "completed", current_step: "live" };
  const answers = ({ method, url }) => {
    if (method === "POST") {
      return json(envelope({ operation_id: "op", status: "pending", resource_id: "d", poll_interval_seconds: 1 }), 202);
    }
    return url.endsWith("/events") ? stream(`event: progress\nid: 1\ndata: ${JSON.stringify(state)}\n\n`) : json(envelope({ id: "d", status: "success" }));
  };
  const { output } = await ran(t, "build_and_deploy", ["f", "1.0.0"], answers);
  assert.equal(output, "operation op\n100 % live\ndeployment d is success\n");
});

test("webhook_receiver", async (t) => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  const secret = `whsec_${Buffer.from("a secret of a test").toString("base64")}`;
  const { child, output } = await start(t, "webhook_receiver", [], { WEBHOOK_SECRETS: `whsec_b3RoZXI=,${secret}`, PORT: String(port) });
  while (!output().includes("listening")) {
    await once(child.stdout, "data");
  }
  const body = JSON.stringify({ event: "ping", event_id: "e1", data: {} });
  const time = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(secret.slice(6), "base64");
  const mac = createHmac("sha256", key).update(`m1.${time}.${body}`).digest("base64");
  const headers = { "webhook-id": "m1", "webhook-timestamp": time, "webhook-signature": `v1,${mac}` };
  const post = async (sent) => (await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: sent, headers })).status;
  assert.deepEqual([await post(body), await post(`${body} `), await post(body)], [204, 400, 204]);
  while (!output().includes("ping")) {
    await once(child.stdout, "data");
  }
  assert.equal(output(), "listening\nping\n");
});
