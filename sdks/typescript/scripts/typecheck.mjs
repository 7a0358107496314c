// tsc over the examples, the tests of types, and every block of the README.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const folder = `${here}/build/readme`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const blocks = readFileSync(`${here}/README.md`, "utf8").matchAll(/^```ts\n(.*?)^```/gms);
for (const [number, [, block]] of [...blocks].entries()) {
  writeFileSync(`${folder}/block_${number}.ts`, block);
}
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.json"], { cwd: here, stdio: "inherit" });
