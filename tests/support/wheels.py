"""Python packages made on the spot, so that tests of pip need no registry."""

import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, code: str = "") -> Path:
    """A package with a module and a program `say-<name>`, which calls its `main`; without code it prints the name."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code or f"def main(): print({name!r})\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\nsay-{name}={name}:main\n",
    }
    record = "".join(f"{each},,\n" for each in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in (files | {f"{about}/RECORD": record}).items():
            archive.writestr(each, text)
    return path
