// dist/esm and dist/cjs: types by tsc, code by esbuild, each in one file, which a process loads in a third of the time of many.
import { execFileSync } from "node:child_process";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const common = { absWorkingDir: here, bundle: true, target: "es2022", charset: "utf8", logLevel: "warning" };

rmSync(`${here}/dist`, { recursive: true, force: true });
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: here, stdio: "inherit" });
cpSync(`${here}/dist/esm`, `${here}/dist/cjs`, { recursive: true });
await build({
  ...common, entryPoints: ["src/index.ts", "src/webhooks.ts"], outdir: "dist/esm", format: "esm", platform: "neutral", splitting: true,
  chunkNames: "common",
});
// platform "node": so node finds the names of a CommonJS module that is imported; nothing of node is in it.
await build({ ...common, entryPoints: ["src/index.ts"], outdir: "dist/cjs", format: "cjs", platform: "node" });
// The same error classes as the whole has: esbuild splits no CommonJS.
writeFileSync(`${here}/dist/cjs/webhooks.js`, '"use strict";\nexports.verify = require("./index.js").webhooks.verify;\n');
writeFileSync(`${here}/dist/cjs/package.json`, '{ "type": "commonjs" }\n');
