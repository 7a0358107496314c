"""`python -m sdks.generate.check_oapi_codegen`: what oapi-codegen makes of docs/openapi.json: lines, types, names.

The proof that the document reads well: models and raw operations of all of it, which compile with the standard library
alone, and no type that has its name from where it was found. The client is by `oapi_codegen/client.tmpl`:
the generator's own templates spell out each parameter, and each media type and header of each answer, for each
operation. Their figures are printed as well, and those of the same paths without parameters and answers, which no
document can go below.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdks.generate.description import DOCUMENT, Json, resolved
from sdks.generate.go_models import GENERATOR, LIMIT_S, PLAIN
from sdks.generate.languages import ToolchainMissingError, program

TEMPLATES: Final = Path(__file__).with_name("oapi_codegen")
MOST_LINES: Final = 15_000
OWN: Final[Json] = {
    "user-templates": {path.name: str(path) for path in TEMPLATES.glob("*.tmpl")},
    "skip-enum-validate": True,
    "skip-prune": True,  # it drops what only webhooks have, and refers to it
    "type-mapping": {
        "string": {"default": {"type": "string"}, "formats": {kind: {"type": "string"} for kind in PLAIN}}
    },
}
IMPORTS: Final = ("reflect",)
# What the generator always makes for operations, and its client.
USUAL: Final = re.compile(r"(Params|JSONRequestBody)$|^(Client|ClientOption|RequestEditorFn|HttpRequestDoer)$")
# One alias for each media type of an answer that has two.
OF_TWO_MEDIA: Final = re.compile(r"Application(Problem\w+)?JSON$")


@dataclass(frozen=True)
class Made:
    """What the generator made: its text, and the names of its types."""

    text: str

    @property
    def lines(self) -> int:
        """How many."""
        return self.text.count("\n")

    @property
    def types(self) -> list[str]:
        """Their names."""
        return re.findall(r"^type (\w+) ", self.text, re.MULTILINE)

    def nameless(self, document: Json) -> list[str]:
        """Types that are called after where they were found."""
        parts = document["components"]
        known = {name.lower() for kind in ("schemas", "parameters", "responses") for name in parts[kind]}
        known |= {constant.lower() for constant in constants(document)}
        found = [name for name in self.types if name.lower() not in known and not USUAL.search(name)]
        return [name for name in found if not OF_TWO_MEDIA.search(name)]


def constants(document: Json) -> list[str]:
    """Names of properties with one possible value, which the generator makes a type of: `PingEvent` and `event`."""
    schemas = document["components"]["schemas"].items()
    return [
        name + "".join(word.capitalize() for word in key.split("_"))
        for name, schema in schemas
        for key, inner in schema.get("properties", {}).items()
        if "const" in inner
    ]


def generated(document: Path, options: Json, folder: Path) -> Made:
    """Models and operations of a document.

    Raises:
        ToolchainMissingError: there is no Go here.
    """
    go = program("go", "install Go 1.24 or newer")
    settings = {
        "package": "raw",
        "generate": {"models": True, "client": True},
        "additional-imports": [{"package": one} for one in IMPORTS] if options else [],
        "output-options": options,
        "output": str(folder / "raw.go"),
    }
    (folder / "settings.yaml").write_text(json.dumps(settings))  # which is YAML
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    command = [go, "run", GENERATOR, "-config", "settings.yaml", str(document)]
    subprocess.run(command, cwd=folder, check=True, timeout=LIMIT_S, env=environment)
    if options:
        (folder / "go.mod").write_text("module raw\n\ngo 1.24\n")
        subprocess.run([go, "vet", "."], cwd=folder, check=True, timeout=LIMIT_S, env=environment)
    return Made((folder / "raw.go").read_text())


def bare(document: Json) -> Json:
    """Nothing but paths and bodies: the least that the generator's own template can make."""
    made: Json = json.loads(json.dumps(document))
    for item in made["paths"].values():
        for operation in item.values():
            operation["responses"] = {"200": {"description": "OK"}}
            given = [(one, resolved(document, one)) for one in operation.get("parameters", ())]
            operation["parameters"] = [one for one, full in given if full["in"] == "path"]
    return made


def main() -> int:
    """Returns 1 if a type has no name of its own, or if there are too many lines."""
    document = json.loads(DOCUMENT.read_text())
    with tempfile.TemporaryDirectory(prefix="oapi-codegen-") as name:
        folder = Path(name)
        try:
            own = generated(DOCUMENT, OWN, folder)
            stock = generated(DOCUMENT, {}, folder)
            (folder / "bare.json").write_text(json.dumps(bare(document)))
            least = generated(folder / "bare.json", {}, folder)
        except ToolchainMissingError as error:
            sys.stderr.write(f"SKIPPED: {error}\n")
            return 0
    for title, made in (
        ("own client template", own),
        ("its own templates", stock),
        ("the same, nothing but paths", least),
    ):
        sys.stdout.write(f"{title:28} {made.lines:7,} lines {len(made.types):5,} types\n")
    params = sum(name.endswith("Params") for name in own.types)
    media = sum(bool(OF_TWO_MEDIA.search(name)) for name in own.types)
    sys.stdout.write(f"of the first: {params} structs of parameters, {media} aliases of answers with two media types, ")
    sys.stdout.write(f"{len(constants(document))} types of properties with one value\n")
    nameless = own.nameless(document)
    sys.stdout.write(f"types without a name of their own: {', '.join(nameless) or 'none'}\n")
    return 1 if nameless or own.lines >= MOST_LINES else 0


if __name__ == "__main__":
    sys.exit(main())
