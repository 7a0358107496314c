"""`python -m api.openapi`: writes docs/openapi.json, docs/openapi-3.0.json and docs/postman-collection.json."""

import sys
from pathlib import Path

from api.openapi.files import write

if __name__ == "__main__":
    for path in write(Path(__file__).resolve().parents[2] / "docs"):
        sys.stdout.write(f"{path}\n")
