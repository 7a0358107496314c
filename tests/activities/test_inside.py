"""Paths of the delivery spec below a checkout, in which a build may have made links with its own paths."""

from pathlib import Path
from uuid import UUID

import pytest

from activities.workspaces import BuildFolders
from domain.errors import ErrorCode, TerminalError

OPERATION = UUID(int=1)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    found = BuildFolders(tmp_path).tree(OPERATION)
    (found / "apps" / "web" / "build" / "out").mkdir(parents=True)
    return found


@pytest.mark.parametrize("target", ["build/out", "/delivery/app/apps/web/build/out", "TREE/apps/web/build/out"])
def test_a_folder_may_be_named_by_a_link_of_the_build(tree: Path, tmp_path: Path, target: str) -> None:
    (tree / "apps" / "web" / "dist").symlink_to(target.replace("TREE", str(tree)))
    found = BuildFolders(tmp_path).inside(OPERATION, "apps/web", "dist")
    assert found == tree / "apps" / "web" / "build" / "out"


@pytest.mark.parametrize("target", ["/etc", "../../..", "/delivery/home", "/delivery/app/..", "dist"])
def test_what_leads_out_of_the_checkout_is_a_fault_of_the_spec(tree: Path, tmp_path: Path, target: str) -> None:
    (tree / "apps" / "web" / "dist").symlink_to(target)
    with pytest.raises(TerminalError) as caught:
        BuildFolders(tmp_path).inside(OPERATION, "apps/web", "dist")
    assert caught.value.code is ErrorCode.SPEC_INVALID
