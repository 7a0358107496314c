"""Reading delivery.yaml and Procfile: every fault is named with file, line, column and key."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import wire
from domain.delivery_spec import ENTRY, DeliverySpec, ServiceSpec, TestSpec, faults_of
from domain.delivery_spec_loader import SCHEMA_FILE, SPEC_FILES, delivery_schema, parse_delivery, spec_from_files
from domain.errors import ErrorCode, TerminalError
from domain.lifecycle import EnvironmentName
from tests.support.deep import by_depth

ROOT = Path(__file__).parents[2]


def faults(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(TerminalError) as caught:
        parse_delivery(text)
    assert caught.value.code is ErrorCode.SPEC_INVALID
    found = caught.value.details["faults"]
    for fault in found:
        assert f"delivery.yaml:{fault['line']}:{fault['column']}: " in caught.value.message
        assert fault["file"] == "delivery.yaml"
    return [(fault["line"], fault["column"], fault["key"]) for fault in found]


def refused(files: dict[str, str | None]) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        spec_from_files(files)
    return caught.value


FULL = """\
version: 1
build:
  steps:
    - make
    - make install
  env: {CFLAGS: "-O2"}
service:
  command: ./run $PORT
  replicas: 2
environments:
  production:
    replicas: 4
"""


def test_a_whole_file():
    spec = parse_delivery(FULL)
    assert spec.build.steps == ("make", "make install")
    assert spec.build.env == {"CFLAGS": "-O2"}
    assert spec.service_for(EnvironmentName.PRODUCTION).replicas == 4


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*/delivery.yaml")), ids=lambda p: p.parent.name)
def test_the_examples_are_valid(example):
    assert spec_from_files({"delivery.yaml": example.read_text()}).service.command


EGRESS_AT = ((0, 12), (1, 16), (2, 24))
LOCAL_AT = ((0, 12), (1, 23), (2, 34))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("service:\n  comand: x\n", [(2, 3, "service.comand")]),
        ("service:\n  replicas: 0\n  command: 7\n", [(2, 3, "service.replicas"), (3, 3, "service.command")]),
        ("build:\n  steps:\n    - make\n    - [a]\n", [(4, 7, "build.steps[1]")]),
        ("build:\n  steps: make\n", [(2, 3, "build.steps")]),
        ("service:\n  health:\n    path: healthz\n", [(3, 5, "service.health.path")]),
        ("service:\n  env:\n    A: true\n    1B: x\n", [(3, 5, "service.env.A"), (4, 5, "service.env.1B")]),
        ("service:\n  env:\n    A: '1'\n    PORT: '1'\n", [(4, 5, "service.env.PORT")]),
        ("service:\n  env:\n    DELIVERY_RELEASE: '1'\n", [(3, 5, "service.env.DELIVERY_RELEASE")]),
        ("build:\n  env:\n    PATH: '1'\n    CI: '0'\n", [(3, 5, "build.env.PATH")]),
        ("test:\n  env: {HOME: '1', PORT: '1', LC_ALL: C}\n", [(2, 9, "test.env.HOME")]),
        ("environments:\n  dev:\n    env: {LANG: C, TMPDIR: '1'}\n", [(3, 20, "environments.dev.env.TMPDIR")]),
        ("build:\n  env: {PWD: /, IFS: x}\n", [(2, 9, "build.env.PWD"), (2, 17, "build.env.IFS")]),
        ("environments:\n  prod: {}\n", [(2, 3, "environments.prod")]),
        ("service: x\n", [(1, 1, "service")]),
        ("build:\n  output: ../..\n", [(2, 3, "build.output")]),
        ("test:\n  report: /etc/passwd\n", [(2, 3, "test.report")]),
        ("service:\n  command: a\n  command: b\n", [(3, 3, "service.command")]),
        ("service:\n  command: !!python/name:os.system x\n", [(2, 3, "service.command")]),
        ("a: &a {x: 1}\nservice:\n  <<: *a\n", [(3, 3, "service.<<")]),
        ("service:\n  command: 'x\n", [(3, 1, "")]),
        ("service:\n\tcommand: x\n", [(2, 1, "")]),
        ("- a\n", [(1, 1, "")]),
        ("just text", [(1, 1, "")]),
        ("a: 1\n---\nb: 1\n", [(2, 1, "")]),
        ("version: 2\n", [(1, 1, "version")]),
        ("a: \x00\n", [(1, 1, "")]),
        ("version: 1\nbuild:\n  timeout: 0x_\n", [(3, 3, "build.timeout")]),
        ("build:\n  timeout: .nan\n", [(2, 3, "build.timeout")]),
        ("a.b: 1\n? [x]\n: 1\n", [(2, 3, "?")]),
        ('service:\n  command: "a\\0b"\n', [(2, 3, "service.command")]),
        ('build:\n  steps: ["a\\0b"]\n', [(2, 11, "build.steps[0]")]),
        ('service:\n  env: {A: "x\\0"}\n', [(2, 9, "service.env.A")]),
        ('environments:\n  dev:\n    env: {A: "\\0"}\n', [(3, 11, "environments.dev.env.A")]),
        (f"build:\n  output: {'a' * 300}\n", [(2, 3, "build.output")]),
        (
            "service:\n  egress: [db, 'db:0', '10.0.0.1:5432']\n",
            [(2, at, f"service.egress[{n}]") for n, at in EGRESS_AT],
        ),
        (
            "service:\n  egress: ['[::1]:1', '127.1:1', 'localhost:1']\n",
            [(2, at, f"service.egress[{n}]") for n, at in LOCAL_AT],
        ),
        ("environments:\n  dev:\n    egress: ['user@db:1']\n", [(3, 14, "environments.dev.egress[0]")]),
        ('rollout:\n  blue_green:\n    checks: ["/a b"]\n', [(3, 14, "rollout.blue_green.checks[0]")]),
    ],
)
def test_each_fault_says_where_it_is(text, expected):
    assert faults(text) == expected


def test_what_a_service_connects_to_may_differ_from_environment_to_environment():
    spec = parse_delivery(
        "service: {egress: [cache:6379]}\nenvironments: {dev: {egress: ['db.dev:5432', 'cache:6379']}}"
    )
    assert spec.service_for(EnvironmentName.DEV).egress == ("cache:6379", "db.dev:5432")
    assert spec.service_for(EnvironmentName.STAGING).egress == ("cache:6379",)


@pytest.mark.parametrize(
    ("entry", "is_itself"),
    [
        *((entry, True) for entry in ("localhost:5432", "LOCALHOST.:5432", "db.localhost:5432", "127.0.0.1:5432")),
        *((entry, True) for entry in ("127.1:5432", "0x7f.1:5432", "[::1]:5432", "[::ffff:127.0.0.1]:5432")),
        *((entry, True) for entry in ("0.0.0.0:5432", "0:5432", "[::]:5432")),
        *((entry, False) for entry in ("10.0.0.5:5432", "192.168.1.1:5432", "[fd00::5]:5432", "93.184.215.14:5432")),
    ],
)
def test_an_address_in_egress_is_refused_with_what_to_write_instead(entry, is_itself):
    """`localhost` inside is the service: a database on the engine's machine needs a name and the operator's word."""
    with pytest.raises(TerminalError) as caught:
        parse_delivery(f"service: {{egress: ['{entry}']}}")
    said = caught.value.message
    assert f"'{entry}'" in said
    assert ("is the service itself" in said) == is_itself
    assert "db.internal:5432" in said
    assert "DELIVERY_SERVICE_EGRESS" in said


@pytest.mark.parametrize("guard", ["approval", "approved_by", "policy", "windows", "four_eyes", "min_approvals"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{}: null\n", (1, 1, "{}")),
        ("rollout:\n  {}: null\n", (2, 3, "rollout.{}")),
        ("environments:\n  production:\n    {}: null\n", (3, 5, "environments.production.{}")),
    ],
)
def test_a_committer_cannot_weaken_an_environments_guards(guard, text, place):
    line, column, key = place
    assert faults(text.format(guard)) == [(line, column, key.format(guard))]


def test_words_are_for_strangers():
    with pytest.raises(TerminalError) as caught:
        parse_delivery("service:\n  env:\n    DEBUG: true\n")
    expected = 'delivery.yaml:3:5: service.env.DEBUG: must be text; put true into quotes: "true"'
    assert caught.value.message == expected


@pytest.mark.parametrize(
    "source",
    ["True", "FALSE", "1.10", "0755", "1e3", "0x1F", "0o17", "+5", "-0", "007", ".5", "1.", "null", "~", "1.0e+10"],
)
def test_advice_about_quotes_shows_what_stands_there(source):
    """`yaml-advice-is-wrong`: who did as told got another value."""
    with pytest.raises(TerminalError) as caught:
        parse_delivery(f"service:\n  env:\n    A: {source}\n")
    assert caught.value.message.endswith(f'service.env.A: must be text; put {source} into quotes: "{source}"')
    assert parse_delivery(f'service:\n  env:\n    A: "{source}"\n').service.env["A"] == source


@pytest.mark.parametrize(
    "text",
    ["NO", "yes", "off", "y", "12:30:00", "1_000", "190:20:30.15", "2026-01-31", "2026-01-31T10:00:00Z", "0b1", "=",
     "-0x1", "0o9", "1e", ".", "+", "08:00", "!x!y", "<<", "tRue", "nUll", ".Nan"],
)  # fmt: skip
def test_what_is_text_in_yaml_1_2_is_text(text):
    written = f"'{text}'" if text.startswith("!") else text
    assert parse_delivery(f"service:\n  env:\n    A: {written}\n").service.env == {"A": text}


def test_numbers_and_switches_are_read_by_the_core_schema():
    spec = parse_delivery(
        "build: {memory_mb: 0755, timeout: 1e2}\nservice: {memory_mb: 0x100, replicas: 0o11}\n"
        "rollout: {blue_green: {manual: yes}}\n"
    )
    assert (spec.build.memory_mb, spec.build.timeout) == (755, 100)
    assert (spec.service.memory_mb, spec.service.replicas) == (256, 9)
    assert spec.rollout.blue_green.manual


COSTLY = {
    "base 60": ":".join(["1"] * 100_000),
    "base 60 float": ":".join(["1"] * 100_000) + ".5",
    "digits": "9" * 200_000,
    "fraction": "1." + "9" * 200_000,
    "exponent": "1e" + "9" * 200_000,
    "hexadecimal": "0x" + "f" * 200_000,
    "octal": "0o" + "7" * 200_000,
    "just too large": str(2**53),
    "tagged": "!!int " + "1:" * 100_000 + "1",
    "tagged bool": "!!bool yes",
    "tagged float": "!!float 1:1",
    "binary": "!!binary " + "A" * 200_000,
    "timestamp": "!!timestamp 9999-99-99",
    "infinite": ".inf",
    "minus infinite": "-.INF",
    "no number": ".NaN",
    "overflow": "1e999",
    "words": "5m",
}


@pytest.mark.parametrize("value", COSTLY.values(), ids=COSTLY)
def test_odd_numbers_are_refused_where_they_stand(value):
    text = f"service:\n  command: x\nbuild:\n  timeout: {value}\n"
    assert faults(text) == [(4, 3, "build.timeout")]
    with pytest.raises(TerminalError) as caught:
        parse_delivery(text)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%TAG !a! tag:x,2026:\n" * 10_000 + "---\nversion: 1\n", 1),
        ("version: 1\n? " + "k" * 5_000 + "\n: 1\n", 2),
        ("service:\n  env:\n" + "".join(f"    K{n}: 1\n" for n in range(8_000)), 3),
        ("service:\n  ? " + "k" * 100_000 + "\n  :\n" + "".join(f"    K{n}: 1\n" for n in range(8_000)), 2),
        ("build: {steps: [" + "1, " * 9_000 + "]}\n", 1),
        ("".join(f"k{n}: &a{n} x\n" for n in range(9_000)), 1),
        ("version: 1\n" * 9_000, 2),
        ("build:\n  timeout: !!python/object/apply:os.system [x]\n", 2),
        ("a: !<" + "x" * 100_000 + "> y\n", 1),
    ],
    ids=["directives", "key", "env", "below a long key", "list", "anchors", "twice", "python", "tag"],
)
def test_odd_files_are_refused_in_few_words(text, line):
    found = faults(text)
    assert found[0][0] == line
    assert len(found) <= 50


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
        "a: &a [*a]\n",
        "[" * 200_000,
        "{a: " * 10_000,
        "- " * 20_000,
        "x" * 300_000,
        "- x\n" * 60_000,
    ],
    ids=["bomb", "self", "lists", "maps", "dashes", "text", "many"],
)
@pytest.mark.timeout(60)
def test_hostile_files_cost_little(text):
    assert 1 <= len(faults(text)) <= 50


@settings(max_examples=by_depth(short=25, long=60))
@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#\n <%@,?1", max_size=60))
def test_any_text_gives_a_spec_or_named_faults(text):
    refusal = None
    try:
        parse_delivery(text)
    except TerminalError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code is ErrorCode.SPEC_INVALID
        assert refusal.details["faults"]
        json.dumps(refusal.details)


def test_an_empty_file_is_all_defaults_but_needs_a_command():
    assert parse_delivery("").service.replicas == 1
    error = refused({"delivery.yaml": "# nothing\n"})
    assert error.code is ErrorCode.SPEC_INVALID
    assert error.message.startswith("delivery.yaml:1:1: service.command: ")


def test_a_missing_command_is_named_where_the_service_is():
    error = refused({"delivery.yml": "version: 1\nservice:\n  replicas: 2\n"})
    assert error.message.startswith("delivery.yml:2:1: service.command: ")


def test_a_procfile_alone():
    spec = spec_from_files({"Procfile": "# x\nworker: celery\nweb:  gunicorn app:app -b 127.0.0.1:$PORT\n"})
    assert spec.service.command == "gunicorn app:app -b 127.0.0.1:$PORT"


def test_a_procfile_completes_a_delivery_file_but_does_not_overrule_it():
    web = "web: from procfile\n"
    assert spec_from_files({"delivery.yaml": "service: {replicas: 3}", "Procfile": web}).service.replicas == 3
    assert spec_from_files({"delivery.yaml": "service: {replicas: 3}", "Procfile": web}).service.command
    both = spec_from_files({"delivery.yaml": "service: {command: x}", "Procfile": web})
    assert both.service.command == "x"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('service:\n  command: x\n  env: {A: "x\\0y"}\n', (3, "service.env.A")),
        ('service:\n  command: "x\\0"\n', (2, "service.command")),
        ('build: {steps: [a, "b\\0"]}\nservice: {command: x}\n', (1, "build.steps[1]")),
        ('service:\n  command: x\n  "en\\0v": {}\n', (1, "service")),
    ],
)
def test_a_character_that_no_program_can_be_given_is_named(text, place):
    error = refused({"delivery.yaml": text})
    assert error.code is ErrorCode.SPEC_INVALID
    fault = error.details["faults"][0]
    assert (fault["line"], fault["key"]) == place
    assert "NUL" in fault["message"]


@pytest.mark.parametrize("value", ["max_p95_ms: .inf", "max_p95_ms: 1e308", "min_requests: 1000000001"])
def test_figures_of_an_analysis_have_bounds(value):
    error = refused({"delivery.yaml": f"service: {{command: x}}\nanalysis:\n  {value}\n"})
    assert (error.code, error.details["faults"][0]["line"]) == (ErrorCode.SPEC_INVALID, 3)


def test_a_nul_in_a_procfile_is_named():
    error = refused({"Procfile": "# x\nweb: a\0b\n"})
    assert (error.code, error.details["faults"][0]["line"]) == (ErrorCode.SPEC_INVALID, 2)


def test_a_command_of_a_procfile_has_limits_too():
    error = refused({"Procfile": f"\nweb: {'x' * 5000}\n"})
    assert (error.code, error.details["faults"][0]["line"]) == (ErrorCode.SPEC_INVALID, 2)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "neither a delivery.yaml nor a Procfile"),
        (dict.fromkeys(SPEC_FILES), "neither a delivery.yaml nor a Procfile"),
        ({"Procfile": "worker: x\n"}, "no `web:` line"),
        ({"Dockerfile": "FROM x\n"}, "container builds are not available"),
    ],
)
def test_nothing_to_go_by(files, words):
    error = refused(files)
    assert error.code is ErrorCode.SPEC_MISSING
    assert words in error.message
    parse_delivery(error.message.split("like this:\n")[1])


def test_the_published_schema_is_the_one_of_the_code():
    refresh = f".venv/bin/python -m domain.delivery_spec_loader --schema > {SCHEMA_FILE}"
    assert (ROOT / SCHEMA_FILE).read_text() == delivery_schema(), f"refresh it with: {refresh}"


def test_every_key_of_the_schema_is_described():
    schema = json.loads(delivery_schema())
    sections = {"DeliverySpec": schema, **schema["$defs"]}
    nameless = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section.get("properties", {}).items()
        if "description" not in value and "$ref" not in value
    ]
    assert nameless == []


def test_the_examples_of_the_reference_are_valid():
    blocks = (ROOT / "docs/delivery.md").read_text().split("```yaml\n")[1:]
    assert [parse_delivery(block.split("```")[0]).service.command for block in blocks] == [
        "python app.py --port $PORT",
        "exec ./server",
        None,  # reports of tests
        None,  # what it may dial
        ".venv/bin/gunicorn --bind 127.0.0.1:$PORT wsgi:app",
        "node server.js",
        "./server",
        "bundle exec puma --bind tcp://127.0.0.1:$PORT",
        "python3 -m http.server --bind 127.0.0.1 $PORT",
        None,  # beside a Procfile
    ]


def test_the_reference_names_every_key():
    text = (ROOT / "docs/delivery.md").read_text()
    schema = json.loads(delivery_schema())
    keys = {key for section in (schema, *schema["$defs"].values()) for key in section.get("properties", {})}
    assert [key for key in sorted(keys) if key not in text] == []


def test_a_pause_that_is_none_is_named_by_its_own_key():
    text = "service:\n  command: ./run\nrollout:\n  canary:\n    steps:\n      - {weight: 10, pause: forever}\n"
    assert {key for _, _, key in faults(text)} == {"rollout.canary.steps[0].pause"}


@pytest.mark.parametrize(
    "path",
    [
        "/health check",
        "/a\u00a0b",
        "/a\u200bb",
        "/\u00fc",
        "/a#b",
        "/a\\0b",
        "/a\\tb",
        "/a\\nb",
        "/a\\n",
        "/a\\x7f",
        "/a\u2028b",
        "/\u202eb",
        "x",
        "",
        " /a",
        "http://a/",
        "/" + "a" * 600,
    ],
)
def test_a_health_path_that_the_router_would_refuse_is_refused_in_the_file(path):
    """The rule is one for both (domain/wire.py); the message shows nothing that moves a terminal's cursor."""
    text = f'service:\n  health:\n    path: "{path}"\n'
    assert faults(text) == [(3, 5, "service.health.path")]
    with pytest.raises(TerminalError) as caught:
        parse_delivery(text)
    assert caught.value.message.isprintable()


def test_a_health_path_in_a_block_text_ends_with_a_newline_and_is_refused():
    assert faults("service:\n  health:\n    path: |\n      /healthz\n") == [(3, 5, "service.health.path")]


VISIBLE = ("/", "/up?full=1&of[]=2", "/%20", "//x", "/a/../b", "/~a!$'()*+,;=:@", '/{"a"}|\\^`<>')


@pytest.mark.parametrize("path", VISIBLE)
def test_visible_ascii_is_a_health_path(path):
    assert wire.path_fault(path) is None
    spec = DeliverySpec.model_validate({"service": {"health": {"path": path}}}, context=ENTRY)
    assert spec.service.health.path == path


def test_what_was_stored_before_a_rule_stays_readable_and_its_faults_can_be_listed():
    """Or a release that is poisoned could neither be stopped nor be rolled back."""
    service = ServiceSpec.model_validate({"command": "a\0b", "health": {"path": "/health check"}})
    assert [fault.partition(":")[0] for fault in faults_of(service)] == ["service.command", "service.health.path"]
    assert faults_of(ServiceSpec(command="serve")) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("report: [a.xml, /b.xml]", ("test.report[1]", "must be a relative path that stays inside, without '..'")),
        ("report: ../a.xml", ("test.report", "must be a relative path that stays inside, without '..'")),
        ("report: []", ("test.report", "must have at least one entry")),
        ("report: 5", ("test.report", 'must be text; put 5 into quotes: "5"')),
        ("report: {a: b}", ("test.report", "must be text")),
        ("max_failures: 0", ("test", "max_failures has nothing to judge by; give test.report")),
        ("min_coverage: 80", ("test", "min_coverage has nothing to judge by; give test.coverage")),
    ],
)
def test_reports_and_thresholds_that_make_no_sense(text, expected):
    found = faults(f"service: {{command: x}}\ntest:\n  command: make test\n  {text}\n")
    key, words = expected
    assert [(line, found_key) for line, _, found_key in found] == [(2 if key == "test" else 4, key)]
    with pytest.raises(TerminalError, match=re.escape(f"{key}: {words}")):
        parse_delivery(f"service: {{command: x}}\ntest:\n  command: make test\n  {text}\n")


def test_a_threshold_without_a_test_command_is_no_pass():
    assert {key for _, _, key in faults("test: {min_coverage: 1, coverage: a}\n")} == {"test"}
    stored = TestSpec.model_validate({"min_coverage": 1})  # of an older release: judged when it is run
    assert stored.min_coverage == 1


def test_several_reports_are_stored_as_they_are_written():
    spec = parse_delivery("test: {command: x, report: a.xml, coverage: [a.info, 'b/*.xml']}\n").test
    assert (spec.report, spec.coverage) == ("a.xml", ("a.info", "b/*.xml"))
    assert TestSpec.model_validate(spec.model_dump(mode="json")) == spec
