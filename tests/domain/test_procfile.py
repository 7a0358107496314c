"""Process types of a Procfile: web, release, and those that are told to be not started."""

import pytest

from domain.delivery import source_path_of
from domain.delivery_file import service_folder, spec_from_files
from domain.errors import ErrorCode, TerminalError
from domain.procfile import not_started, read_procfile

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


def test_types_that_are_not_started_are_named_with_their_lines():
    told = not_started(read_procfile(STARTER))
    assert told is not None
    assert told.startswith("not started from the Procfile: `worker` (line 3), `clock` (line 4). ")
    assert not_started(read_procfile("web: x\nrelease: y\n")) is None


def test_a_hundred_types_are_told_in_few_words():
    told = not_started(read_procfile("".join(f"{'w' * 300}{n}: x\n" for n in range(100))))
    assert told is not None
    assert "and 90 more" in told
    assert len(told) < 1500


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
