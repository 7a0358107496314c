"""The sources of an analysis's figures, and their queries."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from domain.stored import STORED_CONFIG

MAX_QUERY = 2048
RELEASE = "{{release}}"


class MetricSource(StrEnum):
    """Who counts the requests: the router, or the services themselves through Prometheus."""

    ROUTER = "router"
    PROMETHEUS = "prometheus"


def _asks_for_one_release(query: str) -> str:
    if RELEASE not in query:
        msg = f"must contain {RELEASE} where the id of the release belongs; else both versions would be read alike"
        raise ValueError(msg)
    if "{{" in query.replace(RELEASE, "id"):
        msg = f"only {RELEASE} is replaced, written like this; there is no other placeholder"
        raise ValueError(msg)
    return query


Query = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY, json_schema_extra={"pattern": r"\{\{release\}\}"}),
    AfterValidator(_asks_for_one_release),
]


class PrometheusQueries(BaseModel):
    """PromQL for the cumulative counters of one release: the counters themselves, never a rate of them.

    `{{release}}` is replaced by the release's id, which its instances have in the variable DELIVERY_RELEASE.
    """

    model_config = STORED_CONFIG

    requests: Query = Field(description="one number: requests answered")
    errors: Query = Field(description="one number: those of them that failed")
    latency_buckets: Query | None = Field(
        default=None, description="one number a `le`, in seconds: requests that took at most so long"
    )
    started: Query | None = Field(
        default=None, description="any numbers that change when counters begin anew, such as process start times"
    )

    def given(self) -> dict[str, str]:
        """The queries by figure, without those that are not set."""
        return {name: query for name, query in self if query is not None}
