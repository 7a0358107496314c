"""Process types of a Procfile: web, release, and those that run beside the service."""

import pytest

from domain.delivery_spec import source_path_of
from domain.delivery_spec_loader import service_folder, spec_from_files
from domain.errors import ErrorCode, TerminalError
from domain.lifecycle import EnvironmentName
from domain.procfile import read_procfile, told

STARTER = "release: ./migrate\nweb: gunicorn app\nworker: celery -A app worker\nclock: python clock.py\n"


def test_release_phase_ignored():
    """`cases/release-phase-ignored`, and the same as a key of delivery.yaml."""
    spec = spec_from_files({"Procfile": STARTER})
    assert (spec.service.command, spec.release.command) == ("gunicorn app", "./migrate")
    spec = spec_from_files({"delivery.yaml": "service: {command: x}\nrelease: {command: ./up, timeout: 60}\n"})
    assert (spec.release.command, spec.release.timeout) == ("./up", 60)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("service: {command: x}\n", "./migrate"),
        ("release: {timeout: 5}\n", "./migrate"),
        ("release: {command: 'true'}\n", "true"),
    ],
)
def test_the_release_line_of_a_procfile_completes_a_delivery_file_but_does_not_overrule_it(text, command):
    assert spec_from_files({"delivery.yaml": text, "Procfile": STARTER}).release.command == command


def test_a_release_command_that_is_too_long_is_named_by_line_and_type():
    with pytest.raises(TerminalError, match=r"^apps/api/Procfile:2:1: release: ") as caught:
        spec_from_files({"Procfile": f"web: x\nrelease: {'x' * 5000}\n"}, "apps/api")
    assert caught.value.code is ErrorCode.SPEC_INVALID


def counts(files: dict[str, str | None], environment: EnvironmentName = EnvironmentName.DEV) -> dict[str, int]:
    return {name: each.count for name, each in spec_from_files(files).processes_for(environment).items()}


def test_other_types_run_beside_the_service_one_of_each_unless_somebody_says_otherwise():
    """`cases/release-phase-ignored`: `worker:` and other types."""
    assert counts({"Procfile": STARTER}) == {"worker": 1, "clock": 1}
    assert spec_from_files({"Procfile": STARTER}).processes["clock"].command == "python clock.py"
    text = (
        "processes: {worker: {count: 3}, clock: {count: 0}, beat: {command: ./beat, memory_mb: 64}}\n"
        "environments: {production: {processes: {worker: {count: 5}, clock: {count: 1}}}}\n"
    )
    files = {"delivery.yaml": text, "Procfile": STARTER}
    assert counts(files) == {"worker": 3, "beat": 1}
    assert counts(files, EnvironmentName.PRODUCTION) == {"worker": 5, "beat": 1, "clock": 1}
    assert spec_from_files(files).processes["worker"].command == "celery -A app worker"
    assert counts({"delivery.yaml": "service: {command: x}\nprocesses: {w: {command: y}}\n"}) == {"w": 1}
    assert counts({"delivery.yaml": "processes: {worker: {command: null}}\n", "Procfile": STARTER}) != {}


def test_types_that_people_run_by_hand_are_not_started_unless_asked_for():
    """A console that ends at once would fail each deployment of an ordinary Rails repository."""
    lines = "web: x\nconsole: bin/rails console\nrake: bin/rake\npostdeploy: ./seed\n"
    assert counts({"Procfile": lines}) == {}
    assert counts({"Procfile": lines, "delivery.yaml": "processes: {console: {count: 1}}\n"}) == {"console": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("processes: {wroker: {count: 2}}", r"^delivery\.yaml:1:\d+: processes\.wroker: no such line in a Procfile"),
        ("processes: {wroker: {count: 0}}", "processes.wroker: no such line"),
        ("environments: {dev: {processes: {wroker: {count: 2}}}}", r"dev\.processes\.wroker: no such process type"),
        ("processes: {web: {count: 2}}", "service.replicas"),
        ("processes: {release: {count: 2}}", "release.command"),
        ("environments: {dev: {processes: {web: {count: 2}}}}", "service.replicas"),
        ("processes: {worker: 2}", "processes.worker: must hold keys and values"),
        ("processes: {worker: {count: -1}}", "processes.worker.count"),
        ("processes: {worker: {replicas: 2}}", r"processes\.worker\.replicas: unknown key"),
        ("processes: {'a b': {command: x}}", "processes"),
        ("environments: {dev: {processes: {worker: {}}}}", "count"),
    ],
)
def test_faults_of_process_types_are_named(text, words):
    with pytest.raises(TerminalError, match=words):
        spec_from_files({"delivery.yaml": text, "Procfile": STARTER})


def test_a_types_line_that_cannot_be_run_is_named_by_its_line():
    with pytest.raises(TerminalError, match=r"^Procfile:2:1: worker: "):
        spec_from_files({"Procfile": f"web: x\nworker: {'x' * 5000}\n"})
    with pytest.raises(TerminalError, match=r"^Procfile:2:1: w+: ") as caught:
        spec_from_files({"Procfile": f"web: x\n{'w' * 300}: x\n"})
    assert len(caught.value.message) < 500
    with pytest.raises(TerminalError, match=r"^Procfile:22:1: w20: there may be 20 process types"):
        spec_from_files({"Procfile": "web: x\n" + "".join(f"w{n}: x\n" for n in range(100))})


def test_what_runs_beside_the_service_is_shown():
    words = told({"worker": 2, "clock": 1, "console": 0})
    assert words is not None
    assert words.startswith("beside the service run `worker` (2), `clock` (1); not started: `console`; ")
    assert told({}) is None
    assert told({"w": 1}, vary=True) == "beside the service run `w` (1); environments have counts of their own"
    assert "and 10 more" in (told({f"w{n}": 1 for n in range(20)}) or "")


def test_lines_as_people_write_them_and_the_first_of_two_counts():
    types = read_procfile("# web: no\r\n\r\n  web:a b # c\r\nweb: later\r\nnonsense\r\nrelease :x\r\n")
    assert {name: (each.line, each.command) for name, each in types.items()} == {"web": (3, "a b # c")}


def test_a_procfile_without_web_names_what_it_has():
    with pytest.raises(TerminalError, match=r"the apps/w/Procfile has no `web:` line \(it has `worker:`\)") as caught:
        spec_from_files({"Procfile": "worker: x\n"}, "apps/w")
    assert caught.value.code is ErrorCode.SPEC_MISSING


def test_faults_name_the_file_in_its_folder():
    with pytest.raises(TerminalError, match=r"^apps/api/delivery\.yaml:1:1: servise: ") as caught:
        spec_from_files({"delivery.yaml": "servise: {}\n"}, "apps/api")
    assert caught.value.details["file"] == "apps/api/delivery.yaml"
    with pytest.raises(TerminalError, match=r"in the project's source_path 'apps/api'"):
        spec_from_files({}, "apps/api")


def test_the_folder_of_the_service_is_read_before_its_procfile():
    assert service_folder({"delivery.yaml": "source: {path: apps/api}\n"}) == "apps/api"
    assert service_folder({"Procfile": "web: x\n"}) == "."
    with pytest.raises(TerminalError, match=r"source\.path"):
        service_folder({"delivery.yaml": "source: {path: ../x}\n"})


@pytest.mark.parametrize(
    ("written", "path"), [(".", "."), ("./", "."), ("apps/api", "apps/api"), ("./apps//my api/", "apps/my api")]
)
def test_a_source_path_has_one_form(written, path):
    assert source_path_of(written) == path


@pytest.mark.parametrize("path", ["", "/", "/apps", "..", "apps/../..", "a\0b", "a\nb", "\ud800", "x" * 256, "\u202ea"])
def test_source_paths_that_name_no_folder_of_a_repository(path):
    with pytest.raises(ValueError, match="must"):
        source_path_of(path)
