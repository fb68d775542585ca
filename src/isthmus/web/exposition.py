"""Metrics as text: OpenMetrics 1.0, as Prometheus and those who read like it take it.

It writes what it is given and knows nothing of brokers.

Spec: OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Family(Struct, frozen=True):
    """A metric: its name without the ending of a counter, what it means, and the labels that tell its samples apart.

    A unit is the end of the name. `help` is a sentence for people.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram", "summary", "info"]
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""


class Page:
    """A page of metrics, written family by family.

    Args:
        families: all that may be on it, in their order.
    """

    def __init__(self, families: Sequence[Family]) -> None:
        self._samples: dict[str, list[str]] = {family.name: [] for family in families}
        self._families = families

    def add(self, family: Family, value: float, *labels: str) -> None:
        """A sample of a gauge, a counter or an info; of a counter `value` is what it has come to."""
        ending = {"counter": "_total", "info": "_info"}.get(family.kind, "")
        shown = _labels(dict(zip(family.labels, labels, strict=True)))
        self._samples[family.name].append(f"{family.name}{ending}{shown} {_number(value)}")

    def add_histogram(self, family: Family, bounds: Sequence[float], counts: Sequence[int], total: float) -> None:
        """A histogram: how many in each class, the last above all bounds, and the sum of all values."""
        rows = self._samples[family.name]
        seen = 0
        for bound, count in zip([*bounds, float("inf")], counts, strict=True):
            seen += count
            rows.append(f"{family.name}_bucket{_labels({'le': _number(float(bound))})} {seen}")
        rows += [f"{family.name}_count {seen}", f"{family.name}_sum {_number(total)}"]

    def add_summary(self, family: Family, quantiles: Mapping[float, float], count: int) -> None:
        """A summary: values that so large a part does not exceed, and how many were measured."""
        rows = self._samples[family.name]
        rows += [
            f"{family.name}{_labels({'quantile': _number(quantile)})} {_number(value)}"
            for quantile, value in quantiles.items()
        ]
        rows.append(f"{family.name}_count {count}")

    def text(self) -> bytes:
        """The page; families without samples are left out."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The page in pieces, a family each, for who lets others have their turn in between."""
        for family in self._families:
            if not (samples := self._samples[family.name]):
                continue
            lines = [f"# TYPE {family.name} {family.kind}"]
            if family.unit:
                lines.append(f"# UNIT {family.name} {family.unit}")
            lines.append(f"# HELP {family.name} {family.help.translate(_ESCAPES)}")
            yield "\n".join([*lines, *samples, ""]).encode()
        yield b"# EOF\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return repr(value)
