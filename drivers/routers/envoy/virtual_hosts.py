"""One host's routes: previews first, then all others by weight; users of a sticky host by their cookie.

Envoy's own affinity cookie (a `ttl` in the hash policy) is only set by balancers that hash, after the weights were
drawn. So the bucket is derived from what every request has before routing: its request id. A request without the cookie
goes to the bucket of its request id's hash, and the response sets the cookie to that id, which then selects the same
bucket. Both hashes are Envoy's xxHash64 of the text; the weights are ranges of hash modulo 100 in the targets' order.
"""

from collections.abc import Collection, Mapping
from typing import Any

from domain.routing import PREVIEW_HEADER, REFUSED_HEADER, HostRoute, Preview, StickyCookie
from drivers.routers.envoy.bootstrap import TYPE

RELEASE_HEADER = "x-delivery-release"
REQUEST_ID = "x-request-id"
RETRY_ON = "connect-failure,refused-stream,reset-before-request"
RETRY_SAFE_ON = ",reset"
"""Safe methods (RFC 9110, 9.2.1) are retried even if the connection broke after the request was sent."""
RETRY_REFUSED_ON = ",retriable-headers"
"""The bridge's error header if nothing listens behind its socket: no service has seen the request, so it is retried."""
SAFE = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS|TRACE"}}}
ANYTHING = {"prefix": "/"}


def virtual_host(route: HostRoute, names: Mapping[str, str], bridged: Collection[str] = ()) -> dict[str, Any]:
    """The host's resource. `names`: the releases' clusters; `bridged`: the releases behind bridges."""
    limits = {"timeout": f"{route.timeout_s or 0:.3f}s", "idle_timeout": f"{route.idle_timeout_s:.3f}s"}
    is_bridged = not set(route.named).isdisjoint(bridged)
    common = {**limits, "retry_policy": _retries_of_bridged() if is_bridged else _retries(RETRY_ON)}
    routes = [*(_preview(p, names, common) for p in route.previews), *_by_weight(route, names, common)]
    safe = [_for_safe_methods(each) for each in routes]
    return {
        "name": route.environment_id,
        "domains": [route.host],
        "routes": [one for pair in zip(safe, routes, strict=True) for one in pair],
        **({"response_headers_to_remove": [REFUSED_HEADER]} if is_bridged else {}),
    }


def _for_safe_methods(route: Mapping[str, Any]) -> dict[str, Any]:
    """The same route for requests that may be sent twice."""
    headers = [*route["match"].get("headers", ()), SAFE]
    policy = route["route"]["retry_policy"]
    action = {**route["route"], "retry_policy": policy | {"retry_on": policy["retry_on"] + RETRY_SAFE_ON}}
    return {**route, "match": {**route["match"], "headers": headers}, "route": action}


def _preview(preview: Preview, names: Mapping[str, str], common: Mapping[str, Any]) -> dict[str, Any]:
    token = {"name": PREVIEW_HEADER, "string_match": {"exact": preview.token}}
    clusters = [_weight(preview.release_id, names[preview.release_id], 100)]
    return {
        "match": ANYTHING | {"headers": [token]},
        "route": {"weighted_clusters": {"clusters": clusters}, **common},
    }


def _by_weight(route: HostRoute, names: Mapping[str, str], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    clusters = [_weight(t.release_id, names[t.release_id], t.weight) for t in route.targets if t.weight]
    if not clusters:
        return []
    if route.sticky is None:
        return [{"match": ANYTHING, "route": {"weighted_clusters": {"clusters": clusters}, **common}}]
    return _by_cookie(route.sticky, clusters, common)


def _by_cookie(cookie: StickyCookie, clusters: list[dict[str, Any]], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Matches requests with the cookie, and those whose response sets it."""
    bucket = [{"cookie": {"name": cookie.name}, "terminal": True}, {"header": {"header_name": REQUEST_ID}}]
    weighted = {"clusters": clusters, "use_hash_policy": True}
    action = {"weighted_clusters": weighted, "hash_policy": bucket, **common}
    known = {"name": cookie.name, "string_match": {"safe_regex": {"regex": ".+"}}}
    given = f"{cookie.name}=%REQ({REQUEST_ID})%; Max-Age={cookie.ttl_s:.0f}; Path=/; HttpOnly; SameSite=Lax"
    set_cookie = {"header": {"key": "set-cookie", "value": given}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    return [
        {"match": ANYTHING | {"cookies": [known]}, "route": action},
        {"match": ANYTHING, "route": action, "response_headers_to_add": [set_cookie]},
    ]


def _weight(release_id: str, name: str, weight: int) -> dict[str, Any]:
    header = {
        "header": {"key": RELEASE_HEADER, "value": release_id},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {"name": name, "weight": weight, "response_headers_to_add": [header]}


def _retries(on: str) -> dict[str, Any]:
    predicate = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    other_host = {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": TYPE + predicate}}
    return {
        "retry_on": on,
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
        "retry_host_predicate": [other_host],
        "host_selection_retry_max_attempts": "3",
    }


def _retries_of_bridged() -> dict[str, Any]:
    refused = {"name": REFUSED_HEADER, "present_match": True}
    return {**_retries(RETRY_ON + RETRY_REFUSED_ON), "retriable_headers": [refused]}
