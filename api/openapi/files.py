"""The documents as checked-in files."""

import json
from collections.abc import Mapping
from pathlib import Path

from api.app import create_app
from api.openapi.document import build
from api.openapi.downgrade_3_0 import as_3_0
from api.openapi.postman import collection
from api.openapi.traversal import Json
from runtime.settings import Settings


def contents() -> Mapping[str, str]:
    """Name and text of each file, independent of settings."""
    newest = build(create_app(Settings()))
    made = {"openapi.json": newest, "openapi-3.0.json": as_3_0(newest), "postman-collection.json": collection(newest)}
    return {name: _text(document) for name, document in made.items()}


def write(folder: Path) -> list[Path]:
    """Write all files into a folder; returns their paths."""
    made = contents()
    for name, text in made.items():
        (folder / name).write_text(text)
    return [folder / name for name in made]


def _text(document: Json) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
