"""Host keys that ssh accepts: those of large public hosts, the operator's, the project's. No others, ever.

Only the Ed25519 key of each: ssh then requests that one. Users who need another kind add it.
"""

from pathlib import Path

from domain.errors import ErrorCode, TerminalError

# Host, key, and its published fingerprint (a test compares them): docs.github.com "GitHub's SSH key fingerprints";
# docs.gitlab.com "GitLab.com settings, SSH host keys fingerprints"; support.atlassian.com "Configure SSH and two-step
# verification".
PUBLISHED: tuple[tuple[str, str, str], ...] = (
    (
        "github.com",
        "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
    ),
    (
        "gitlab.com",
        "AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
        "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
    ),
    (
        "bitbucket.org",
        "AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
        "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
    ),
)


def known_hosts(operators: Path | None, projects: str) -> str:
    """The text of the `known_hosts` file for one fetch.

    Raises:
        TerminalError: SOURCE_FORBIDDEN, the operator's file cannot be read.
    """
    lines = [f"{host} ssh-ed25519 {key}" for host, key, _ in PUBLISHED]
    try:
        lines += [operators.read_text(encoding="utf-8")] if operators else []
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(
            "the file of DELIVERY_SSH_KNOWN_HOSTS cannot be read; the operator of the engine must put it there",
            code=ErrorCode.SOURCE_FORBIDDEN,
        ) from error
    return "\n".join([*lines, projects, ""])
