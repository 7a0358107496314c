"""Files of a stranger's tree, opened without following any link."""

import errno
import os
import stat


def open_file(tree: str, path: str) -> int:
    """A descriptor for a regular file below a folder.

    Args:
        tree: the folder; links on the way to it are followed.
        path: relative to it; no part of it may be a link.

    Raises:
        OSError: there is none; it is a link, a folder, or what waits when it is opened.
    """
    *folders, name = path.split("/")
    if not name or ".." in (*folders, name) or "\0" in path:
        raise OSError(errno.EINVAL, "no path below a folder")
    at = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            deeper = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = deeper
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file")
    return descriptor
