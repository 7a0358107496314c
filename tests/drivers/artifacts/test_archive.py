"""Archives that somebody else made are not let out of their folder."""

import io
import tarfile

import pytest

from drivers.artifacts.archive import extract_archive


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../x")],
        [member("/tmp/x")],
        [member("a/../../x")],
        [member("link", tarfile.SYMTYPE, "/tmp"), member("link/x", tarfile.SYMTYPE, "y")],
        [member("link", tarfile.SYMTYPE, "a"), member("a", tarfile.DIRTYPE), member("link/x", tarfile.SYMTYPE, "y")],
        [member("link", tarfile.SYMTYPE, "../outside")],
        [member("hard", tarfile.LNKTYPE, "../outside")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("device", tarfile.CHRTYPE)],
    ],
    ids=lambda members: members[0].name + members[0].linkname,
)
def test_what_leads_out_is_refused(members, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO())
    packed.seek(0)
    (tmp_path / "tree").mkdir()
    with pytest.raises(tarfile.TarError):
        extract_archive(packed, tmp_path / "tree")
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]
