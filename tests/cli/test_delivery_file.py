"""`init` and `validate`: what is written is right, by the CLI's rules and by the engine's own."""

import json
from pathlib import Path

import pytest
from delivery_cli.repository.checks import SCHEMA, check
from delivery_cli.repository.detect import detect
from delivery_cli.repository.written import written

from domain.delivery_spec_loader import parse_delivery
from domain.errors import TerminalError

ROOT = Path(__file__).resolve().parents[2]

KINDS = {
    "node": (
        {
            "package.json": '{"scripts": {"start": "node x.js", "build": "tsc", "test": "jest"}}',
            "package-lock.json": "",
        },
        "npm start",
    ),
    "pnpm": ({"package.json": '{"main": "srv.js"}', "pnpm-lock.yaml": ""}, "exec node srv.js"),
    "fastapi": (
        {"requirements.txt": "fastapi\nuvicorn[standard]==0.30\npytest\n", "main.py": ""},
        "exec .venv/bin/uvicorn main:app --host 127.0.0.1 --port $PORT",
    ),
    "flask": (
        {"pyproject.toml": '[project]\nname="x"\ndependencies=["flask", "gunicorn>=20"]', "app.py": ""},
        "exec .venv/bin/gunicorn --bind 127.0.0.1:$PORT app:app",
    ),
    "script": ({"app.py": ""}, "exec python3 app.py"),
    "go": ({"go.mod": "module x", "main.go": ""}, "exec ./server"),
    "rust": ({"Cargo.toml": '[package]\nname="shop"'}, "exec ./server"),
    "ruby": ({"Gemfile": "", "config.ru": ""}, "bundle exec puma --bind tcp://127.0.0.1:$PORT"),
    "make": ({"Makefile": "all:\n\ttrue\ntest: all\nrun: all\n"}, "make run PORT=$PORT"),
    "static": ({"index.html": ""}, "exec python3 -m http.server --bind 127.0.0.1 $PORT"),
    "procfile": ({"requirements.txt": "", "Procfile": "web: gunicorn x\n"}, ""),
    "broken": ({"package.json": "{", "pyproject.toml": "["}, ""),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_init_writes_is_right_and_says_what_was_found(kind, tmp_path):
    files, command = KINDS[kind]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = detect(tmp_path)
    text = written(found, "shop")
    assert found.command == command
    assert parse_delivery(text).service.command == (command or None)
    procfile = files.get("Procfile")
    faults = check(text, procfile)
    assert [one.key for one in faults] == ([] if command or procfile else ["service.command"])


def test_init_writes_once(delivery, repository):
    (repository.folder / "delivery.yaml").unlink()
    said = delivery("init", "--json")
    assert said.code == 0
    answer = json.loads(said.out)
    assert (answer["language"], answer["command"]) == ("Python", "exec python3 app.py")
    assert delivery("validate").code == 0
    again = delivery("init")
    assert again.code == 2
    assert "is there already" in again.err
    assert delivery("init", "--force").code == 0
    assert delivery("init", "--print").out.startswith("# How the delivery engine builds")


BAD = {
    "unknown": ("service:\n  comand: x\n", (2, "service.comand"), "did you mean command?"),
    "number": ("service:\n  command: x\n  replicas: many\n", (3, "service.replicas"), "a whole number"),
    "quotes": (
        "service:\n  command: x\n  env:\n    DEBUG: true\n",
        (4, "service.env.DEBUG"),
        'put true into quotes: "true"',
    ),
    "bound": ("service:\n  command: x\n  replicas: -1\n", (3, "service.replicas"), "must be"),
    "choice": ("build:\n  driver: docker\nservice:\n  command: x\n", (2, "build.driver"), "auto"),
    "list": ("build:\n  steps: make\nservice:\n  command: x\n", (2, "build.steps"), "list"),
    "twice": ("service:\n  command: x\nservice:\n  command: y\n", (3, "service"), "twice"),
    "yaml": ("service:\n  command: [\n", (3, ""), "YAML"),
    "command": ("service:\n  replicas: 2\n", (1, "service.command"), "say how the service is started"),
    "scalar": ("just text\n", (1, ""), "keys and values"),
    "environment": (
        "service: {command: x}\nenvironments:\n  prod:\n    replicas: 2\n",
        (3, "environments.prod"),
        "production",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_validate_names_line_and_key(case, delivery, tmp_path):
    text, (line, key), words = BAD[case]
    (tmp_path / "delivery.yaml").write_text(text)
    said = delivery("validate", str(tmp_path))
    assert said.code == 2
    first = said.out.splitlines()[0]
    assert first.startswith(f"delivery.yaml:{line}:"), said.out
    assert key in first
    assert words in first


@pytest.mark.parametrize("case", [case for case in BAD if case not in {"command", "yaml", "scalar", "twice"}])
def test_the_engine_finds_the_same_line_and_key(case):
    text, (line, key), _ = BAD[case]
    with pytest.raises(TerminalError) as caught:
        parse_delivery(text)
    found = [(one["line"], one["key"]) for one in caught.value.details["faults"]]
    assert (line, key) in found


def test_the_schema_is_the_engines():
    assert json.loads(SCHEMA.read_text()) == json.loads((ROOT / "docs" / "delivery-schema.json").read_text()), (
        "cp docs/delivery-schema.json cli/src/delivery_cli/repository/"
    )


@pytest.mark.parametrize("example", ["hello-python", "hello-c"])
def test_the_examples_are_right(delivery, example):
    assert delivery("validate", str(ROOT / "examples" / example)).code == 0


def test_the_whole_file_of_the_documents_is_right():
    page = (ROOT / "docs" / "delivery.md").read_text()
    whole = page.partition("## A whole file")[2].partition("```yaml\n")[2].partition("```")[0]
    assert check(whole) == []


def test_faults_as_json(delivery, tmp_path):
    (tmp_path / "delivery.yaml").write_text(BAD["unknown"][0])
    said = delivery("validate", str(tmp_path), "--json", "line,key")
    assert said.code == 2
    assert {"line": 2, "key": "service.comand"} in json.loads(said.out)


@pytest.mark.parametrize(
    "text", ["a: &x [*x]\n", "{" * 400, "[" * 400, "a: !!python/object:os.system x\n", "x: " + "y" * 300_000]
)
def test_hostile_files_are_refused(text):
    assert check(text)
