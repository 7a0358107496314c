"""The recipes of docs/delivery.md, exactly as they stand there, on the real stack.

Those of Node need no registry here. Python's and Go's do; what these need of a machine is in
`tests/isolation/test_recipes.py`.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.test_ordinary import ordinary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

REFERENCE = Path(__file__).parents[2] / "docs" / "delivery.md"
NODE = pytest.mark.skipif(not shutil.which("npm"), reason="Node is not on this machine")

LOCAL = {"name": "greet", "version": "1.0.0", "main": "index.js"}
SERVER_JS = """
const {createServer} = require('http');
const built = require('fs').readFileSync('built.txt', 'utf8').trim();
createServer((_, answer) => answer.end(require('greet')(built, process.env.CI))).listen(process.env.PORT, '127.0.0.1');
"""


def recipe(command: str) -> str:
    """The example whose service is started with this command."""
    blocks = [block.split("```")[0] for block in REFERENCE.read_text().split("```yaml\n")[1:]]
    [found] = [block for block in blocks if f"command: {command}\n" in block and "build:" in block]
    return found


def package(script: str) -> dict[str, str]:
    """A package with a build step and a dependency of its own repository, which needs no registry."""
    wanted = {"dependencies": {"greet": "file:./greet"}}
    locked = {"": {"name": "app", **wanted}, "greet": {"version": "1.0.0"}}
    locked["node_modules/greet"] = {"resolved": "greet", "link": True}
    return {
        "package.json": json.dumps({"name": "app", "scripts": {"build": script}, **wanted}),
        "package-lock.json": json.dumps({"name": "app", "lockfileVersion": 3, "requires": True, "packages": locked}),
        "greet/package.json": json.dumps(LOCAL),
        "greet/index.js": "module.exports = (what, ci) => `hello, ${what} ${ci}`;\n",
    }


@pytest.mark.parametrize(
    ("command", "files", "path", "text"),
    [
        pytest.param(
            "node server.js",
            {**package("echo built by $CI > built.txt"), "server.js": SERVER_JS},
            "/",
            "hello, built by false undefined",
            marks=NODE,
            id="node",
        ),
        pytest.param(
            "python3 -m http.server --bind 127.0.0.1 $PORT",
            package("mkdir dist && echo '<h1>built</h1>' > dist/index.html"),
            "/",
            "<h1>built</h1>",
            marks=(NODE, pytest.mark.deep),
            id="static",
        ),
    ],
)
def test_a_recipe_works_as_it_is_written(*, platform, request, command, files, path, text):
    app = ordinary(platform, f"recipe-{request.node.callspec.id}", {})
    app.ship_good(files={**files, "delivery.yaml": recipe(command)})
    assert app.service.get(path).text.strip() == text
