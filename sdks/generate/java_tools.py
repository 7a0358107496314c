"""The programs that the Java SDK is generated with: Maven fetches their jars, once."""

import subprocess
from pathlib import Path
from typing import Final

from sdks.generate.languages import ToolchainMissingError, program

GENERATOR: Final = "org.openapitools:openapi-generator-cli:7.25.0:jar"
FORMATTER: Final = "com.google.googlejavaformat:google-java-format:1.28.0:jar:all-deps"
# The formatter reads the compiler's own tree.
EXPORTS: Final = tuple(
    f"--add-exports=jdk.compiler/com.sun.tools.javac.{part}=ALL-UNNAMED"
    for part in ("api", "code", "file", "parser", "tree", "util")
)
LIMIT_S: Final = 600


def generator(*arguments: str) -> None:
    """Run openapi-generator.

    Raises:
        ToolchainMissingError: No JDK, no Maven, or Maven cannot fetch it.
    """
    _run(program("java", "install a JDK 17 or newer"), "-jar", str(_jar(GENERATOR)), *arguments)


def formatted(out: Path) -> None:
    """Format all Java below a folder, in place.

    Raises:
        ToolchainMissingError: No JDK, no Maven, or Maven cannot fetch the formatter.
    """
    files = sorted(str(path) for path in out.rglob("*.java"))
    _run(program("java", "install a JDK 17 or newer"), *EXPORTS, "-jar", str(_jar(FORMATTER)), "--replace", *files)


def _jar(coordinates: str) -> Path:
    """A jar of Maven's local repository, fetched if it is not there.

    Raises:
        ToolchainMissingError: Maven is not here, or cannot fetch it.
    """
    group, artifact, version, _, *classifier = coordinates.split(":")
    folder = Path.home() / ".m2" / "repository" / Path(*group.split(".")) / artifact / version
    jar = folder / f"{'-'.join([artifact, version, *classifier])}.jar"
    if not jar.exists():
        maven = program("mvn", "install Maven")
        subprocess.run(
            [maven, "-B", "-q", "dependency:get", f"-Dartifact={coordinates}", "-Dtransitive=false"],
            check=False,
            timeout=LIMIT_S,
        )
    if not jar.exists():
        raise ToolchainMissingError(f"Maven cannot fetch {coordinates}")
    return jar


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
