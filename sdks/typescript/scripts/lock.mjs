// The lock without addresses: of the registry (.npmrc leaves them out) and of sponsors. After `npm install --package-lock-only`.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
for (const one of Object.values(lock.packages)) {
  delete one.resolved;
  delete one.funding;
}
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
