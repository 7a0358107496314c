"""Folders as strangers make them: deeper than Python follows, links in chains and circles."""

import os
import sys

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.listing import list_tree
from drivers.folders import MAX_LINKS, folder_size, leading_out, remove_tree

DEPTH = 2 * sys.getrecursionlimit() + 200


@pytest.fixture
def deep(tmp_path):
    """A folder nested so deeply that no path reaches its end."""
    root = tmp_path / "deep"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    yield root
    remove_tree(root)


def test_a_deep_tree_is_removed(deep):
    remove_tree(deep)
    assert not deep.exists()


def test_a_deep_tree_is_no_artifact_and_has_a_size(deep):
    (deep / "file").write_text("12345")
    with pytest.raises(TerminalError, match="nested too deeply") as caught:
        list_tree(deep, max_bytes=1 << 20, max_files=1 << 20)
    assert caught.value.code is ErrorCode.ARTIFACT_INVALID
    assert folder_size(deep) == 5


def test_chains_and_circles_of_links_are_followed_as_far_as_the_kernel_does(tmp_path):
    root = os.path.realpath(tmp_path)
    for number in range(2000):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")
    (tmp_path / "circle").symlink_to("circle")
    assert leading_out(f"{root}/l0", root) is None
    assert leading_out(f"{root}/circle", root) is None
    (tmp_path / f"l{MAX_LINKS // 2}").unlink()
    (tmp_path / f"l{MAX_LINKS // 2}").symlink_to("..")
    assert leading_out(f"{root}/l0", root) == "l1"


@pytest.mark.parametrize(
    ("target", "out"),
    [
        ("file", False),
        ("./sub/../file", False),
        ("missing/there", False),
        ("..", True),
        ("sub/../../x", True),
        ("/etc/passwd", True),
        ("up/../outside", True),
        ("a/../" * 700 + "file", True),
    ],
)
def test_where_a_link_leads(tmp_path, target, out):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "up").symlink_to("sub/..")
    (tree / "link").symlink_to(target)
    root = os.path.realpath(tree)
    assert (leading_out(f"{root}/link", root) is not None) is out
