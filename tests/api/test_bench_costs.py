"""`make bench` runs outside of the tests: what it is made of must fit the code all the same."""

import importlib
import pkgutil

import tests.bench
from tests.bench.auth import costs


def test_every_benchmark_can_be_loaded():
    names = {module.name for module in pkgutil.iter_modules(tests.bench.__path__)}
    assert {"auth", "api", "router", "rollback", "webhooks"} <= names
    for name in names:
        importlib.import_module(f"tests.bench.{name}")


def test_the_bench_tells_what_authentication_costs():
    told = dict(costs())
    assert {name for name, microseconds in told.items() if microseconds > 0} == {
        "check of a new access token (RS256)",
        "check of a known access token",
        "check of a known API key",
        "count in six windows in memory, with headers",
    }
