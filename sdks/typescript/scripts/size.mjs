// What the package weighs, and how long a process takes to import it: `npm run size`, after `npm run build`.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const STARTS = 7;

/** Bytes of a bundle of a program that has only this line; the smallest that a browser would load. */
export async function bundled(line) {
  const { outputFiles } = await build({
    stdin: { contents: line, resolveDir: here },
    bundle: true, minify: true, format: "esm", platform: "neutral", target: "es2022", write: false, logLevel: "silent",
    conditions: ["import"], packages: "bundle", external: [],
  });
  const { contents } = outputFiles[0];
  return { bytes: contents.length, gzip: gzipSync(contents, { level: 9 }).length, code: new TextDecoder().decode(contents) };
}

/** Milliseconds that a fresh process takes to import it: the median. */
function coldImport(code, type) {
  const timed = `const begun = performance.now(); ${code}; process.stdout.write(String(performance.now() - begun));`;
  const times = Array.from({ length: STARTS }, () =>
    Number(execFileSync(process.execPath, [`--input-type=${type}`, "-e", timed], { cwd: here })),
  );
  return times.sort((a, b) => a - b)[Math.floor(STARTS / 2)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const whole = await bundled('export * from "@ai-agents/sdk";');
  const verify = await bundled('import { verify } from "@ai-agents/sdk/webhooks"; globalThis.verify = verify;');
  const shaken = await bundled('import { webhooks } from "@ai-agents/sdk"; globalThis.verify = webhooks.verify;');
  const row = (name, { bytes, gzip }) => console.log(`${name.padEnd(42)} ${String(bytes).padStart(7)} bytes ${String(gzip).padStart(6)} gzip`);
  row("everything, minified", whole);
  row("webhooks.verify of the package, minified", shaken);
  row("verify of @ai-agents/sdk/webhooks, minified", verify);
  console.log(`cold import, ESM      ${coldImport('await import("@ai-agents/sdk")', "module").toFixed(1)} ms (node ${process.version}, median of ${STARTS})`);
  console.log(`cold import, CommonJS ${coldImport('require("@ai-agents/sdk")', "commonjs").toFixed(1)} ms`);
}
