"""Selects the driver that reads the figures of an analysis."""

from collections.abc import Mapping

from domain.canary.metric_source import MetricSource
from drivers.metrics.base import MetricProvider
from drivers.metrics.prometheus import PrometheusMetrics
from drivers.metrics.router import RouterMetrics
from drivers.routers.base import Router

MetricProviders = Mapping[MetricSource, MetricProvider]


def metric_providers(router: Router, prometheus: PrometheusMetrics) -> MetricProviders:
    """A driver for every source that `analysis.provider` can name."""
    return {MetricSource.ROUTER: RouterMetrics(router), MetricSource.PROMETHEUS: prometheus}
