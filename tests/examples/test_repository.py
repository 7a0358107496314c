from examples.repository import ServiceRepository
from tests.support.platform import merge


def test_every_commit_is_a_version_of_its_own(tmp_path):
    repository = ServiceRepository(tmp_path / "with a space")
    first = repository.commit("1.0.0")
    second = repository.commit("1.0.0")
    third = repository.commit("2.0.0", fault="unhealthy", files={"run_tests.py": None, "extra/file": "x"})
    assert len({first, second, third}) == 3
    assert repository.git("show", f"{third}:FAULT") == "unhealthy\n"
    assert repository.git("show", f"{third}:extra/file") == "x"
    assert "run_tests.py" not in repository.git("ls-tree", "--name-only", third)
    assert "%20" in repository.url


def test_an_existing_repository_is_gone_on_with(tmp_path):
    first = ServiceRepository(tmp_path).commit("1.0.0")
    ServiceRepository(tmp_path).commit("1.0.1")
    assert first in ServiceRepository(tmp_path).git("log", "--format=%H")


def test_merging_replaces_adds_and_removes():
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"b": 9, "e": 4}, "d": None}) == {"a": {"b": 9, "c": 2, "e": 4}}
