"""Writes a commented delivery.yaml from what a repository is made of."""

import json

from delivery_cli.repository.detect import Found


def written(found: Found, name: str) -> str:
    """The file's text. Durations are seconds, as everywhere in it."""
    lines = [
        f"# How the delivery engine builds, tests and runs {name}. Durations are seconds.",
        f"# Written by `delivery init` from {found.because}. Every key has a default; delete what you do not need.",
        *(f"# {note}" for note in found.notes),
        "version: 1",
        "",
        *_build(found),
        "",
        *_test(found),
        "",
        *_service(found),
        "",
        "rollout:",
        "  scale_down_delay: 30       # the old version is kept so long, for an instant return",
        "  # canary:                  # steps of `deploy --strategy canary`; without: --canary PERCENT, judged",
        "  #   steps:",
        "  #     - {weight: 5, analyse: 60}",
        "  #     - {weight: 25, analyse: 300}",
        "",
        "analysis:                    # how a canary is judged against the live version",
        "  duration: 300              # it is watched for so long, unless it fails before",
        "  # pass_early: true         # or until the evidence is in",
        "  # max_error_rate: 5        # absolute limits: percent, milliseconds",
        "  # max_p95_ms: 500",
        "",
        "# environments:              # what differs in dev, staging or production",
        "#   production:",
        "#     replicas: 4",
    ]
    return "\n".join(lines) + "\n"


def _build(found: Found) -> list[str]:
    if not found.build:
        return [
            "build:",
            "  steps: []                  # shell lines, in order; none: the sources are what is deployed",
        ]
    lines = [
        "build:",
        "  steps:                     # shell lines, in order",
        *(f"    - {_scalar(step)}" for step in found.build),
    ]
    return [*lines, f"  output: {found.output:<19}# the folder that is deployed"] if found.output else lines


def _test(found: Found) -> list[str]:
    if not found.test:
        return [
            "# test:                      # none found; a failing test stops the delivery",
            "#   command: make test",
        ]
    lines = ["test:                        # a failing test stops the delivery", f"  command: {_scalar(found.test)}"]
    if found.report:
        lines.append(f"  report: {found.report}  # JUnit XML: counts, and the first failing test")
    return lines


def _service(found: Found) -> list[str]:
    lines = ["service:"]
    if found.command:
        guess = "" if found.sure else "  # a guess: is it right?"
        lines += [f"  command: {_scalar(found.command)}{guess}", "  # it must listen on 127.0.0.1:$PORT"]
    elif "Procfile" in found.because:
        lines.append("  # started by the line `web:` of the Procfile; it must listen on 127.0.0.1:$PORT")
    else:
        lines.append("  # command: exec ./server   # how it is started; it must listen on 127.0.0.1:$PORT")
    return [
        *lines,
        "  replicas: 2",
        "  health:",
        "    path: /                  # GET; any 2xx or 3xx is healthy",
        "  # env: {LOG_LEVEL: info}",
        "  # secrets: [DATABASE_URL]  # `delivery secrets set DATABASE_URL < file`",
    ]


def _scalar(text: str) -> str:
    """A plain scalar where YAML would read it as it is, else in quotes."""
    plain = text and text[0].isalpha() | (text[0] in "./") and ": " not in text and " #" not in text and text[-1] != ":"
    return text if plain else json.dumps(text, ensure_ascii=False)
