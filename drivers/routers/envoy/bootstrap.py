"""Envoy's bootstrap: one listener, its limits, the admin socket, and where the watched files are.

Limits follow Envoy's "configuring Envoy as an edge proxy" page. All durations are seconds, sizes bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from domain.addresses import parse_networks
from drivers.routers.envoy.files import ConfigFolder
from drivers.routers.envoy.replies import local_replies

Network = IPv4Network | IPv6Network

TYPE = "type.googleapis.com/"
ROUTE_CONFIG = "services"
STAT_PREFIX = "ingress"
SERVER_NAME = "delivery-engine"
ADMIN_SOCKET_MODE = 0o700
INTERNAL_HEADER_PREFIXES = ("x-delivery-", "x-envoy-")
"""Headers that clients may not send: the first are ours, the second would let them change timeouts and retries."""
PROXY_HEADERS = (
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-server",
    "x-original-host",
    "x-real-ip",
    "true-client-ip",
    "front-end-https",
)
"""Headers that only a trusted proxy may send. `x-forwarded-for` and `-proto` are set by Envoy itself."""
SET_BY_ENVOY = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert", "x-request-id")
"""Headers that Envoy itself sets for services, or removes."""
LOOPBACK = "127.0.0.0/8,::1/128"
"""A TLS proxy on the same machine is always trusted."""

# Upper bounds in ms: exact up to 10, then 10 % apart up to a minute; p95 is computed from them.
LATENCY_BUCKETS_MS: tuple[float, ...] = (
    *(float(ms) for ms in range(1, 11)),
    *(float(round(10 * 1.1**step)) for step in range(1, 92)),
    60000.0,
)

ACCESS_LOG_FIELDS = {
    "start_ms": "%START_TIME(%s%3f)%",
    "host": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "code": "%RESPONSE_CODE%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
}


@dataclass(frozen=True)
class Limits:
    """Limits of one listener."""

    max_connections: int = 20_000
    max_header_kb: int = 60
    buffer_bytes: int = 1 << 20
    headers_timeout_s: float = 10
    connection_idle_s: float = 300
    stream_idle_s: float = 300
    streams_per_connection: int = 100


def render_bootstrap(
    folder: ConfigFolder,
    *,
    admin_socket: Path,
    host: str,
    port: int,
    access_log: Path | None = None,
    limits: Limits | None = None,
    trusted_proxies: str = LOOPBACK,
    trusted_hops: int = 1,
) -> dict[str, Any]:
    """The whole bootstrap document.

    Args:
        folder: of the watched files; absolute, and on the same file system as its temporary files.
        admin_socket: path under 107 bytes; its folder should be readable by the owner only.
        host: address to listen on.
        port: port to listen on.
        access_log: JSON lines, one a request; None: no access log.
        limits: of the listener.
        trusted_proxies: networks whose `X-Forwarded-*` (client address and protocol) is passed on.
        trusted_hops: number of trusted proxies in a row.

    Raises:
        ValueError: `trusted_proxies` is not a list of networks.
    """
    limits = limits or Limits()
    chains = _filter_chains(
        _connection_manager(folder, access_log, limits), parse_networks(trusted_proxies), trusted_hops
    )
    return {
        "node": {"id": SERVER_NAME, "cluster": SERVER_NAME},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": ADMIN_SOCKET_MODE}}},
        "dynamic_resources": {"cds_config": _watched(folder.clusters)},
        "static_resources": {"listeners": [_listener(host, port, limits, chains)]},
        "stats_flush_interval": "1s",
        "stats_config": {"histogram_bucket_settings": [_latency_buckets()]},
        "overload_manager": _overload(limits),
        # Envoy limits patterns by default, since users may write them; ours is fixed.
        "layered_runtime": {"layers": [{"name": "ours", "static_layer": {"re2.max_program_size.error_level": 1000}}]},
    }


def _watched(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _latency_buckets() -> dict[str, Any]:
    return {
        "match": {"safe_regex": {"regex": r"cluster\..*\.upstream_rq_time"}},
        "buckets": sorted(set(LATENCY_BUCKETS_MS)),
    }


def _overload(limits: Limits) -> dict[str, Any]:
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    kind = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    config = {"@type": TYPE + kind, "max_active_downstream_connections": limits.max_connections}
    return {"resource_monitors": [{"name": monitor, "typed_config": config}]}


def _listener(host: str, port: int, limits: Limits, chains: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "ingress",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "per_connection_buffer_limit_bytes": limits.buffer_bytes,
        "filter_chains": chains,
    }


def _filter_chains(manager: dict[str, Any], networks: Sequence[Network], hops: int) -> list[dict[str, Any]]:
    """One filter chain for connections of trusted proxies, one for all others; both have the same routes."""
    everybody = {"filters": [_network_filter({**manager, "http_filters": _http_filters(trusted=False)})]}
    if not networks:
        return [everybody]
    ranges = [{"address_prefix": str(n.network_address), "prefix_len": n.prefixlen} for n in networks]
    trusting = {**manager, "http_filters": _http_filters(trusted=True), "xff_num_trusted_hops": hops}
    proxies = {
        "name": "proxies",
        "filter_chain_match": {"source_prefix_ranges": ranges},
        "filters": [_network_filter(trusting)],
    }
    return [proxies, {"name": "everybody", **everybody}]


def _network_filter(manager: dict[str, Any]) -> dict[str, Any]:
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _connection_manager(folder: ConfigFolder, access_log: Path | None, limits: Limits) -> dict[str, Any]:
    network = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": TYPE + network,
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": _watched(folder.routes)},
        "access_log": _access_log(access_log),
        "local_reply_config": local_replies(),
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        **_request_rules(limits),
    }


def _request_rules(limits: Limits) -> dict[str, Any]:
    return {
        "server_name": SERVER_NAME,
        "use_remote_address": True,
        # Services get paths unchanged. None of our routes matches on paths, so normalization cannot be used to bypass
        # one.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "http_protocol_options": {"accept_http_10": True},
        "request_headers_timeout": f"{limits.headers_timeout_s:g}s",
        "stream_idle_timeout": f"{limits.stream_idle_s:g}s",
        "max_request_headers_kb": limits.max_header_kb,
        "common_http_protocol_options": {
            "idle_timeout": f"{limits.connection_idle_s:g}s",
            "headers_with_underscores_action": "ALLOW",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": limits.streams_per_connection,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": limits.buffer_bytes,
        },
    }


def _http_filters(*, trusted: bool) -> list[dict[str, Any]]:
    mutation = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    router = "envoy.extensions.filters.http.router.v3.Router"
    changes = _removals() if trusted else [*_removals(), *_without_hearsay()]
    return [
        {
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {"@type": TYPE + mutation, "mutations": {"request_mutations": changes}},
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": TYPE + router, "suppress_envoy_headers": True},
        },
    ]


def _removals() -> list[dict[str, Any]]:
    prefixes = [{"remove_on_match": {"key_matcher": {"prefix": p}}} for p in INTERNAL_HEADER_PREFIXES]
    return [*prefixes, {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": look_alikes()}}}}]


def look_alikes() -> str:
    """Names that look like one of ours to a service that maps headers to variables (WSGI, CGI: `X_Request_Id`).

    Other names with underscores are passed on: clients of some services send them. Some servers map other signs as
    well.
    """
    prefixes = (rf"{_parts(prefix[:-1], any_of='[^a-z0-9]')}[^a-z0-9].*" for prefix in INTERNAL_HEADER_PREFIXES)
    names = (name for name in (*PROXY_HEADERS, *SET_BY_ENVOY) if "-" in name)
    return "|".join((*prefixes, *(form for name in names for form in _odd_forms(name))))


def _odd_forms(name: str) -> list[str]:
    """Every form of the name with at least one separator that is not a dash: one pattern per position of it."""
    words = name.split("-")
    return [
        f"{_parts('-'.join(words[:place]), any_of='[^a-z0-9]')}[^a-z0-9-]"
        f"{_parts('-'.join(words[place:]), any_of='[^a-z0-9]')}"
        for place in range(1, len(words))
    ]


def _parts(name: str, *, any_of: str) -> str:
    return any_of.join(name.split("-"))


def _without_hearsay() -> list[dict[str, Any]]:
    """Removes what an untrusted client claims about itself; the address is that of the connection."""
    client = {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    own = {"append": {"header": client, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    return [*({"remove": name} for name in PROXY_HEADERS), own]


def _access_log(path: Path | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    config = {"@type": TYPE + kind, "path": str(path), "log_format": {"json_format": ACCESS_LOG_FIELDS}}
    return [{"name": "envoy.access_loggers.file", "typed_config": config}]
