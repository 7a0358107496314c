"""Where people and programs reach the stack."""

from collections.abc import Mapping

from runtime.settings import Settings

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - recognised, not bound


def reachable(host: str) -> str:
    """An address to dial for an address that is listened on."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def addresses(settings: Settings, ports: Mapping[str, int]) -> dict[str, str]:
    """What `make addresses` prints. `temporal` is host:port of gRPC, the others are URLs."""
    api = settings.public_url.rstrip("/") or f"http://{reachable(settings.api_host)}:{ports['api']}"
    host = reachable(settings.internal_host)
    internal = {
        f"{service}_metrics": f"http://{host}:{ports[name]}/metrics"
        for service, name in (("api", "api_internal"), ("worker", "worker_internal"))
        if ports.get(name)
    }
    return {
        "api": api,
        "docs": f"{api}/docs",
        "temporal_ui": f"http://127.0.0.1:{ports['temporal_ui']}",
        "temporal": f"127.0.0.1:{ports['temporal']}",
        "ingress": f"http://{reachable(settings.ingress_host)}:{ports['ingress']}",
        **internal,
    }
