"""What an app counts while it runs: per consumer and per enrich function, since its start.

Data only: plain integers that their owners raise.
"""

from msgspec import Struct


class ConsumerCounts(Struct):
    """What became of the deliveries of one queue, or of one group of a stream.

    `handled` were finished by a handler, `failed` are failures that come again, `dead` went to the dead letters,
    `released` were handed back uncounted, `skipped_types` were passed over because no handler of the group takes their
    type (or no handler takes tombstones), `stale` were somebody else's by the time they were settled.
    """

    handled: int = 0
    failed: int = 0
    dead: int = 0
    released: int = 0
    skipped_types: int = 0
    stale: int = 0


class EnrichCounts(Struct):
    """What an enrich function was spared: `wanted` answers, of which `saved` took no call of their own.

    `calls` are calls made to the upstream service, retries included; `failures` are those of them that raised.
    """

    wanted: int = 0
    calls: int = 0
    saved: int = 0
    failures: int = 0


class Metrics(Struct):
    """The counts of a run. Consumers by "queue" or "stream/group", enrich functions by their names."""

    consumers: dict[str, ConsumerCounts] = {}
    enrich: dict[str, EnrichCounts] = {}

    @property
    def handled(self) -> int:
        """Deliveries that handlers finished, of all consumers."""
        return sum(each.handled for each in self.consumers.values())

    @property
    def failed(self) -> int:
        """Failures that come again, of all consumers."""
        return sum(each.failed for each in self.consumers.values())

    @property
    def dead(self) -> int:
        """Deliveries that went to the dead letters, of all consumers."""
        return sum(each.dead for each in self.consumers.values())

    @property
    def skipped_types(self) -> int:
        """Events that no handler of their group takes, of all consumers."""
        return sum(each.skipped_types for each in self.consumers.values())
