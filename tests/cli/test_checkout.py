"""What is found out about the repository at hand."""

import pytest
from delivery_cli.faults import UsageFault
from delivery_cli.repository.checkout import Checkout, clonable, find, same_repository


def test_the_version_is_heads_tag_else_the_file_else_made_of_both(repository):
    assert find().version == ("1.4.0", True)
    repository.git("tag", "v2.0.0-rc.1")
    assert find().version == ("2.0.0-rc.1", False)
    repository.git("rm", "-q", "VERSION")
    repository.git("commit", "-qm", "no file", "--no-gpg-sign")
    repository.git("tag", "--delete", "v2.0.0-rc.1")
    here = find()
    assert here.version == (f"0.0.0-dev.2+g{here.commit[:7]}", False)
    repository.git("tag", "v1.2.3", "HEAD~1")
    assert find().version == (f"1.2.4-dev.1+g{here.commit[:7]}", False)


def test_branch_commit_and_what_would_not_be_deployed(repository):
    here = find(repository.folder / "reports" if (repository.folder / "reports").exists() else repository.folder)
    assert (here.branch, len(here.commit)) == ("main", 40)
    assert here.changed == []
    (repository.folder / "new file.py").write_text("x")
    (repository.folder / "app.py").write_text("x")
    assert sorted(find().changed) == ['"new file.py"', "app.py"] or sorted(find().changed) == ["app.py", "new file.py"]
    repository.git("checkout", "-q", "--detach")
    assert find().branch == ""


def test_a_commit_that_no_remote_has(repository, tmp_path):
    repository.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    assert not find().is_pushed
    repository.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    repository.git("push", "-q", "origin", "main")
    assert find().is_pushed
    assert list(find().remotes) == ["origin"]


def test_no_repository_and_no_commit(tmp_path, monkeypatch, repository):
    empty = tmp_path / "nothing"
    empty.mkdir()
    with pytest.raises(UsageFault, match="is in no git repository"):
        find(empty)
    repository.git("-C", str(empty), "init", "-q")
    with pytest.raises(UsageFault, match="no commit yet"):
        _ = find(empty).commit


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("git@github.com:acme/shop.git", "https://github.com/acme/shop", True),
        ("ssh://git@GitHub.com/acme/shop", "https://user@github.com/acme/shop.git/", True),
        ("https://github.com/acme/shop", "https://github.com/acme/shop2", False),
        ("https://git.example.com:8443/a", "https://git.example.com/a", False),
        ("file:///srv/shop", "/srv/shop/.git", True),
        ("https://github.com/acme/Shop", "https://github.com/acme/shop", False),
    ],
)
def test_the_same_repository_in_other_words(one, other, same):
    assert same_repository(one, other) is same


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("git@github.com:acme/shop.git", "ssh://git@github.com/acme/shop.git"),
        ("https://user:secret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("/srv/shop", "file:///srv/shop"),
        ("https://git.example.com:8443/a", "https://git.example.com:8443/a"),
    ],
)
def test_an_address_as_the_server_takes_it_without_credentials(address, sent):
    assert clonable(address) == sent


def test_what_lies_between_two_commits(repository):
    first = find().commit
    second = repository.commit("1.5.0")
    here = Checkout(repository.folder)
    assert [subject for _, _, subject in here.log(first, second)] == ["Version 1.5.0"]
    assert here.log(second, first) == []
    assert here.log("0" * 40, second) is None
