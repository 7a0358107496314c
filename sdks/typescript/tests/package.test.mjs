import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import * as sdk from "@ai-agents/sdk";
import { verify } from "@ai-agents/sdk/webhooks";
import { bundled } from "../scripts/size.mjs";
import { envelope, json, serve } from "./server.mjs";

const here = new URL("..", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));
const required = createRequire(import.meta.url);

test("ESM and CommonJS have the same names", () => {
  assert.deepEqual(Object.keys(required("@ai-agents/sdk")).sort(), Object.keys(sdk).sort());
  assert.equal(required("@ai-agents/sdk/webhooks").verify, required("@ai-agents/sdk").webhooks.verify);
  assert.equal(verify, sdk.webhooks.verify);
  assert.equal(sdk.VERSION, manifest.version);
});

test("it needs no package, and nothing of node: fetch and Web Crypto are everywhere", () => {
  assert.equal(manifest.dependencies, undefined);
  for (const kind of ["esm", "cjs"]) {
    for (const name of readdirSync(new URL(`dist/${kind}`, here), { recursive: true }).filter((one) => one.endsWith(".js"))) {
      const code = readFileSync(new URL(`dist/${kind}/${name}`, here), "utf8");
      const foreign = [...code.matchAll(/(?:from|require\(|import\()\s*"([^"]+)"/g)].filter(([, what]) => !what.startsWith("."));
      assert.deepEqual(foreign, [], name);
      assert.doesNotMatch(code, /\bBuffer\b|\brequire\("node:/, name);
    }
  }
});

test("who only receives webhooks ships little", async () => {
  const whole = await bundled('export * from "@ai-agents/sdk";');
  const part = await bundled('import { webhooks } from "@ai-agents/sdk"; globalThis.verify = webhooks.verify;');
  assert.ok(part.bytes < 4000 && part.bytes * 10 < whole.bytes, JSON.stringify({ part, whole }));
});

test("it runs where there is nothing but what browsers have", async (t) => {
  const { address } = await serve(t, [json(envelope({ id: "p" }))]);
  const { code } = await bundled('import * as sdk from "@ai-agents/sdk"; globalThis.sdk = sdk;');
  const web = [
    "AbortController", "DOMException", "Headers", "TextDecoder", "TextEncoder", "URL", "URLSearchParams", "atob", "clearTimeout", "console",
    "crypto", "fetch", "performance", "setTimeout", "Uint8Array", "ArrayBuffer",
  ];
  const page = createContext(Object.fromEntries(web.map((name) => [name, globalThis[name]])));
  runInContext(code, page);
  const client = new page.sdk.Client({ baseUrl: address, apiKey: "k" });
  assert.equal((await client.requirements.create({ project_id: "p", title: "t", description: "d", acceptance_criteria: [] })).id, "p");
  const key = new TextEncoder().encode("secret");
  const mac = createHmac("sha256", key).update("{}").digest("hex");
  assert.equal(JSON.stringify(await page.sdk.webhooks.verify("{}", { "x-signature-256": `sha256=${mac}` }, "secret")), "{}");
});

test("every method of the document is there", () => {
  const client = new sdk.Client({ baseUrl: "http://localhost", apiKey: "k" });
  const document = new URL("../../docs/openapi.json", here);
  let paths;
  try {
    ({ paths } = JSON.parse(readFileSync(process.env.OPENAPI ?? document, "utf8")));
  } catch {
    return; // a checkout of the package alone
  }
  const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  const names = Object.values(paths).flatMap((item) => Object.values(item)).flatMap((operation) => operation["x-sdk-name"] ?? []);
  assert.ok(names.length > 100);
  for (const name of names) {
    const [resource, method] = name.split(".").map(camel);
    assert.equal(typeof client[resource]?.[method], "function", name);
  }
});
