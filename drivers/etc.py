"""The /etc of isolated code: what programs need to work, without information about the machine or its people."""

from collections.abc import Mapping
from pathlib import Path

# Shown as on the machine: no secrets, and each is needed by some program.
_SHOWN = (
    # certificates and the settings of TLS libraries
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "ca-certificates",
    "ca-certificates.conf",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "pki/ca-trust/extracted",
    "crypto-policies",
    # the loader, and links to alternatives of programs
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    # time, names and numbers that are the same everywhere
    "localtime",
    "timezone",
    "protocols",
    "services",
    "ethertypes",
    "rpc",
    "gai.conf",
    "host.conf",
    "mime.types",
    "magic",
    "os-release",
    "debian_version",
    "alpine-release",
    "redhat-release",
    "locale.alias",
    "locale.conf",
    "terminfo",
    "fonts",
    "xml",
    "sgml",
    # files that languages and tools install there
    "perl",
    "python3",
    "dotnet",
    "php",
    "R",
    "maven/m2.conf",
    "maven/logging",
    "gss",
    "ImageMagick-6",
    "ImageMagick-7",
)
_SHOWN_BY_PATTERN = ("java-*", "python3.*", "ld-musl-*.path", "php*")

_PEOPLE = """\
root:x:0:0:root:/nonexistent:/usr/sbin/nologin
delivery:x:{user}:{user}:delivery:{home}:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = """\
root:x:0:
delivery:x:{user}:
nogroup:x:65534:
"""
_HOSTS = """\
127.0.0.1 localhost {hostname}
::1 localhost ip6-localhost ip6-loopback
"""
_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: {hosts}
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
# No DNS server. Programs that ask anyway, past nsswitch.conf (musl), fail quickly.
_NO_RESOLVER = b"options timeout:1 attempts:1\n"


def shown() -> dict[str, Path]:
    """The shown part of the machine's /etc: paths inside, and their sources (links are followed)."""
    etc = Path("/etc")
    found = [etc / name for name in _SHOWN]
    for pattern in _SHOWN_BY_PATTERN:
        found += sorted(etc.glob(pattern))
    return {str(path): path.resolve() for path in dict.fromkeys(found) if path.exists()}


def made_up(*, user: int, home: str, hostname: str, hosts: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Generated files in place of the machine's, which would reveal too much: contents by path.

    Args:
        user: number.
        home: its folder.
        hostname: of the sandbox.
        hosts: addresses by name in a network of its own. Other names are "not found" at once rather than "temporarily
            unavailable", which programs would retry. None: the machine's network; only the servers of its resolver
            stay.
    """
    named = "".join(f"{address} {name}\n" for name, address in (hosts or {}).items())
    return {
        "/etc/passwd": _PEOPLE.format(user=user, home=home).encode(),
        "/etc/group": _GROUPS.format(user=user).encode(),
        "/etc/hosts": (_HOSTS.format(hostname=hostname) + named).encode(),
        "/etc/hostname": f"{hostname}\n".encode(),
        "/etc/nsswitch.conf": _NSSWITCH.format(hosts="files dns" if hosts is None else "files").encode(),
        "/etc/resolv.conf": _resolver() if hosts is None else _NO_RESOLVER,
    }


def _resolver() -> bytes:
    try:
        lines = Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError:
        return b""
    kept = [line for line in lines if line.split()[:1] in (["nameserver"], ["options"])]
    return "".join(f"{line}\n" for line in kept).encode()
