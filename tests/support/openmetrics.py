"""Prometheus' own reader of metrics, which refuses what the format does."""

from prometheus_client import Metric
from prometheus_client.openmetrics import parser


def families(page: bytes) -> list[Metric]:
    """The metrics of a page."""
    return list(parser.text_string_to_metric_families(page.decode()))  # type: ignore[no-untyped-call]  # as it is
