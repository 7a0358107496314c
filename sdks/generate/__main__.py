"""`python -m sdks.generate [language ...]`: what is generated in the SDKs, made anew from docs/openapi.json.

A language whose toolchain is not on this machine is skipped, and said: its `openapi.sha256` stays, and
`tests/sdks/test_generated.py` fails if the document has moved since.
"""

import sys
from collections.abc import Mapping
from typing import Final

from sdks.generate import go, java, python, typescript
from sdks.generate.languages import Generate, ToolchainMissingError, fresh, write

# Each language adds itself: `"go": go.generate`.
LANGUAGES: Final[Mapping[str, Generate]] = {
    "go": go.generate,
    "java": java.generate,
    "python": python.generate,
    "typescript": typescript.generate,
}


def main(wanted: list[str]) -> int:
    """The exit status is for the shell: 1 for an unknown language, or if one that was named was skipped."""
    unknown = [name for name in wanted if name not in LANGUAGES]
    if unknown:
        sys.stderr.write(f"no such language: {', '.join(unknown)}; there are: {', '.join(LANGUAGES)}\n")
        return 1
    skipped = []
    for name in wanted or LANGUAGES:
        try:
            changed = write(name, fresh(LANGUAGES[name], name))
        except ToolchainMissingError as error:
            skipped.append(name)
            sys.stderr.write(f"SKIPPED: sdks/{name}: {error}\n")
        else:
            sys.stdout.write(f"sdks/{name}: {len(changed)} files changed\n")
    return 1 if wanted and skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
