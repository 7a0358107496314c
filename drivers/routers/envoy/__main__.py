"""`python -m drivers.routers.envoy --render ...`: write Envoy's bootstrap without changing its routes.

Then: `envoy -c D/bootstrap.json --use-dynamic-base-id`.
"""

import argparse
from pathlib import Path

from domain.wire import MAX_SOCKET_PATH
from drivers.routers.envoy.bootstrap import LOOPBACK, render_bootstrap
from drivers.routers.envoy.files import ConfigFolder, to_json
from drivers.routers.envoy.render import empty_clusters, empty_routes
from runtime.files import write_whole


def prepare(
    config_dir: Path,
    *,
    admin_socket: Path,
    host: str,
    port: int,
    access_log: Path | None = None,
    trusted_proxies: str = LOOPBACK,
    trusted_hops: int = 1,
) -> Path:
    """Write the bootstrap, and empty clusters and routes if they are missing.

    Returns:
        The bootstrap's path, for `envoy -c`.

    Raises:
        ValueError: the path is too long for a unix socket.
    """
    folder = ConfigFolder(config_dir.resolve())
    folder.make()
    socket = _checked(admin_socket)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = access_log.resolve() if access_log else None
    document = render_bootstrap(
        folder,
        admin_socket=socket,
        host=host,
        port=port,
        access_log=log,
        trusted_proxies=trusted_proxies,
        trusted_hops=trusted_hops,
    )
    if not folder.clusters.exists():
        write_whole(folder.clusters, empty_clusters(), sync=True)
    if not folder.routes.exists():
        write_whole(folder.routes, empty_routes(), sync=True)
    write_whole(folder.bootstrap, to_json(document), sync=True)
    return folder.bootstrap


def _checked(admin_socket: Path) -> Path:
    socket = admin_socket.absolute()
    if len(str(socket).encode()) > MAX_SOCKET_PATH:
        raise ValueError(f"{socket} is longer than a unix socket's {MAX_SOCKET_PATH} bytes; use a shorter folder")
    return socket


def main() -> None:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(prog="python -m drivers.routers.envoy", description=__doc__)
    parser.add_argument("--config-dir", type=Path, required=True, help="folder of the watched files")
    parser.add_argument("--admin-socket", type=Path, required=True, help="unix socket of the admin interface")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--access-log", type=Path, help="file for JSON lines, one a request")
    parser.add_argument("--trusted-proxies", default=LOOPBACK, help="CIDRs whose X-Forwarded-* is passed on")
    parser.add_argument("--trusted-hops", type=int, default=1, help="trusted proxies one behind the other")
    parser.add_argument("--render", action="store_true", required=True, help="write the files and exit")
    args = parser.parse_args()
    try:
        path = prepare(
            args.config_dir,
            admin_socket=args.admin_socket,
            host=args.host,
            port=args.port,
            access_log=args.access_log,
            trusted_proxies=args.trusted_proxies,
            trusted_hops=args.trusted_hops,
        )
    except (OSError, ValueError) as error:
        parser.exit(1, f"cannot prepare Envoy: {error}\n")
    parser.exit(0, f"{path}\n")


if __name__ == "__main__":
    main()
