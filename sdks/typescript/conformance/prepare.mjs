// Builds the SDK in a folder outside the repository: `node prepare.mjs FOLDER NPM`. Nothing is done if it is of these sources.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [folder, npm] = process.argv.slice(2);
const sources = fileURLToPath(new URL("..", import.meta.url));
const home = join(resolve(folder), "typescript");
const PARTS = ["src", "scripts", "conformance", "package.json", "package-lock.json", ".npmrc", "tsconfig.json", "tsconfig.build.json"];

function filesOf(path) {
  return statSync(path).isDirectory() ? readdirSync(path).sort().flatMap((name) => filesOf(join(path, name))) : [path];
}

function hashOf(parts) {
  const hash = createHash("sha256");
  for (const path of parts.flatMap((name) => filesOf(join(sources, name)))) {
    hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

/** Does something once for what it depends on. */
function once(name, parts, act) {
  const stamp = join(home, `.${name}`);
  const wanted = hashOf(parts);
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    act();
    writeFileSync(stamp, wanted);
  }
}

function install() {
  // npm may be a program or a script of node
  const script = /\.[cm]?js$/.test(npm);
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
  execFileSync(script ? process.execPath : npm, [...(script ? [npm] : []), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: home, stdio: ["ignore", 2, 2], env: { ...process.env, PATH: path },
  });
}

mkdirSync(home, { recursive: true });
once("built", PARTS, () => {
  for (const name of PARTS) {
    rmSync(join(home, name), { recursive: true, force: true });
    cpSync(join(sources, name), join(home, name), { recursive: true });
  }
  once("installed", ["package.json", "package-lock.json"], install);
  execFileSync(process.execPath, [join(home, "scripts", "build.mjs")], { stdio: ["ignore", 2, 2] });
});
