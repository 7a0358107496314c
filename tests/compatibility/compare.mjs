// Breaking changes between two OpenAPI 3.0 documents, a line each; exit code 1 if there are any.
//   node compare.mjs <module> <before.json> <after.json> <accepted.txt>
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, before, after, accepted] = process.argv.slice(2);
const { apiCompare } = await import(pathToFileURL(module));
const json = (file) => JSON.parse(readFileSync(file));
const allowed = readFileSync(accepted, "utf8")
  .split("\n")
  .filter((line) => line.trim() && !line.startsWith("#"))
  .map((line) => line.split("  ")[0].trim())
  .map((start) => new RegExp("^" + start.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*")));

// The comparer is strict on both sides. What clients are sent may grow: they ignore what they do not know
// (docs/api-conventions.md). Schemas are judged where they are used, not where they are kept.
const grows = ({ action, path }) => {
  const answer = path.indexOf("responses");
  const inside = path.slice(answer + 1);
  return answer > 0 && action === "add" && (inside.length === 1 || inside.includes("properties") || inside.includes("headers"));
};
const examples = ({ path }) => path.includes("examples") || path.includes("example");

const breaking = apiCompare(json(before), json(after)).diffs
  .filter(({ type, path }) => type === "breaking" && path[0] === "paths")
  .filter((diff) => !grows(diff) && !examples(diff))
  .map(({ action, path }) => `${action} ${path.join("/")}`)
  .filter((line) => !allowed.some((start) => start.test(line)));

for (const line of breaking.slice(0, 50)) console.log(line);
if (breaking.length) console.log(`${breaking.length} breaking changes since the last release`);
process.exit(breaking.length ? 1 : 0);
