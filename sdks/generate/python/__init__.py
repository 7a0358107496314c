"""Python: models by datamodel-code-generator, resources and errors from the description, one twin from the other."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from sdks.generate.description import Api
from sdks.generate.languages import SDKS
from sdks.generate.python.errors import errors
from sdks.generate.python.models import models, params
from sdks.generate.python.resources import index_module, resource_module
from sdks.generate.python.twins import sync_of, twins

PACKAGE: Final = Path("src", "ai_agents")
STYLE: Final = ("--quiet", "--isolated", "--config=line-length=120", "--config=target-version='py310'")
SORT: Final = ("--fix", "--select=I001,F401", "--config=lint.isort.known-first-party=['ai_agents']")
TIDY: Final = (("check", *STYLE, *SORT), ("format", *STYLE))


def generate(api: Api, folder: Path) -> None:
    """Write what is generated into an empty folder, at the paths that it has below `sdks/python`."""
    package = folder / PACKAGE
    files = {Path("models.py"): models(api), Path("params.py"): params(api), Path("errors.py"): errors(api)}
    for resource, methods in api.resources.items():
        files[Path("_async", "resources", f"{resource}.py")] = resource_module(resource, methods)
    files[Path("_async", "resources", "__init__.py")] = index_module(api)
    for path, text in list(files.items()):
        if path.parts[0] == "_async":
            files[Path("_sync", *path.parts[1:])] = sync_of(text, path.name)
    files |= twins(SDKS / "python" / PACKAGE / "_async")
    for path, text in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    for command in TIDY:
        subprocess.run([sys.executable, "-m", "ruff", *command, str(package)], check=True, timeout=300)
