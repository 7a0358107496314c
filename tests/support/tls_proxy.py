"""Envoy as others run it: TLS ends there, what is behind speaks plain HTTP/2."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.settings import Settings
from runtime.stack import binaries
from tests.support.services import free_port

START_LIMIT_S = 120.0
_TYPE = "type.googleapis.com/envoy.extensions"


@contextmanager
def tls_proxy(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """Two ports: one that wants a client's certificate, and one that does not.

    Args:
        folder: has `ca.pem`, `server.pem` and `server.key`; `access.log` gets one line a call: serial, authorization.
        upstream: port on 127.0.0.1 behind it.
    """
    mutual, plain = free_port(), free_port()
    listeners = [_listener(folder, mutual, wants_certificate=True), _listener(folder, plain, wants_certificate=False)]
    bootstrap = {"static_resources": {"listeners": listeners, "clusters": [_cluster(upstream)]}}
    (folder / "envoy.json").write_text(json.dumps(bootstrap))
    argv = [str(binaries.envoy(Settings())), "-c", str(folder / "envoy.json"), "--disable-hot-restart"]
    argv += ["--concurrency", "1", "-l", "error", "--file-flush-interval-msec", "10"]
    process = subprocess.Popen(argv)
    try:
        for port in (mutual, plain):
            _await_open(process, port)
        yield mutual, plain
    finally:
        process.terminate()
        process.wait(60)


def _await_open(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=30).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"Envoy does not listen on {port} (exit status {process.poll()})")


def _listener(folder: Path, port: int, *, wants_certificate: bool) -> dict[str, Any]:
    files = {"certificate_chain": folder / "server.pem", "private_key": folder / "server.key"}
    tls = {
        "tls_certificates": [{name: {"filename": str(file)} for name, file in files.items()}],
        "validation_context": {"trusted_ca": {"filename": str(folder / "ca.pem")}},
        "alpn_protocols": ["h2"],
    }
    context = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": tls,
        "require_client_certificate": wants_certificate,
    }
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "transport_socket": {"name": "tls", "typed_config": context},
                "filters": [{"name": "http", "typed_config": _http(folder)}],
            }
        ],
    }


def _http(folder: Path) -> dict[str, Any]:
    line = "%DOWNSTREAM_PEER_SERIAL% %REQ(AUTHORIZATION)%\n"
    log = {
        "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
        "path": str(folder / "access.log"),
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "behind", "timeout": "0s"}}
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tls",
        "codec_type": "HTTP2",
        "access_log": [{"name": "file", "typed_config": log}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}],
    }


def _cluster(port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    protocol = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": "behind",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "behind",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }
