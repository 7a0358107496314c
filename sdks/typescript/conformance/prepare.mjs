// Builds the SDK in a folder outside the repository: `node prepare.mjs FOLDER NPM`. The packages are installed once a lock.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [folder, npm] = process.argv.slice(2);
const sources = fileURLToPath(new URL("..", import.meta.url));
const home = join(resolve(folder), "typescript");
const lock = readFileSync(join(sources, "package-lock.json"), "utf8");
const stamp = join(home, ".lock");

mkdirSync(home, { recursive: true });
for (const name of ["src", "scripts", "conformance"]) {
  rmSync(join(home, name), { recursive: true, force: true });
}
cpSync(sources, home, { recursive: true, filter: (path) => !["node_modules", "dist"].includes(basename(path)) });
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  // npm may be a program or a script of node; the path may have spaces.
  const script = /\.[cm]?js$/.test(npm);
  const command = script ? process.execPath : npm;
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
  const install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  execFileSync(command, [...(script ? [npm] : []), ...install], {
    cwd: home, stdio: ["ignore", 2, 2], env: { ...process.env, PATH: path },
  });
  writeFileSync(stamp, lock);
}
execFileSync(process.execPath, [join(home, "scripts", "build.mjs")], { stdio: ["ignore", 2, 2] });
