"""What git's words mean, for those that no server at hand can be made to say."""

import pytest

from domain.errors import ErrorCode
from domain.repository_url import parse_repository_url
from drivers.sources.git import MAX_ENTRIES, _weighed
from drivers.sources.git_failures import SHOWN_STDERR, failure

ADDRESS = parse_repository_url("git@example.com:a/b.git")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", ErrorCode.SOURCE_NOT_FOUND),
        ("git@example.com: Permission denied (publickey).\nfatal: Could not read", ErrorCode.SOURCE_NOT_FOUND),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", ErrorCode.SOURCE_NOT_FOUND),
        ("Host key verification failed.\nfatal: Could not read from remote", ErrorCode.SOURCE_FORBIDDEN),
        ("No ED25519 host key is known for example.com", ErrorCode.SOURCE_FORBIDDEN),
        ("fatal: transport 'ext' not allowed", ErrorCode.SOURCE_FORBIDDEN),
        ("fatal: dumb http transport does not support shallow capabilities", ErrorCode.SOURCE_NOT_FOUND),
        ("fatal: write error: No space left on device", ErrorCode.DISK_FULL),
        ("error: cannot run ssh: No such file or directory", ErrorCode.SERVICE_UNAVAILABLE),
        ("remote: repository not found\nfatal: early EOF", ErrorCode.SERVICE_UNAVAILABLE),
        ("", ErrorCode.SERVICE_UNAVAILABLE),
    ],
)
def test_the_code_of_a_complaint(said, code):
    assert failure(said, ADDRESS).code is code


def test_what_a_stranger_said_is_bounded_and_printable():
    error = failure("\x1b[31m" + "x" * 10_000 + "\x07", ADDRESS)
    assert len(error.message) < SHOWN_STDERR + 100
    assert error.message.isprintable()


@pytest.mark.parametrize("word", ["repository ", "not recognized as a ", "no host key is ", "transport '", "x\n"])
@pytest.mark.timeout(60)
def test_what_a_server_says_costs_no_square_of_its_length(word):
    """64 KiB of `repository ` held the event loop for 13 s, so these 256 for minutes."""
    said = "fatal: remote error: " + word * (256 * 1024 // len(word))
    assert failure(said, ADDRESS).code is ErrorCode.SERVICE_UNAVAILABLE
    assert failure(f"{said}\nfatal: repository 'x' not found", ADDRESS).code is ErrorCode.SOURCE_NOT_FOUND


def test_a_listing_is_weighed_once_and_not_at_all_when_it_is_too_long():
    line = f"100644 blob {'a' * 40}       7\ta/b/name\0"
    assert _weighed(line * 3 + f"160000 commit {'a' * 40}       -\tsub\0") == (4, 21, 2)
    assert _weighed("\0" * (MAX_ENTRIES + 1)) == (MAX_ENTRIES + 1, 0, 0)
