"""Commits of a member: what has changed in its partitions, stated by one call for all who wait.

It decides nothing about records; a partition that is lost meanwhile stays as it was.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from isthmus.engines.kafka.feed import Feed
from isthmus.engines.kafka.link import Link
from isthmus.engines.kafka.records import raised
from isthmus.engines.shared import progress
from isthmus.engines.shared.lot import Lot
from isthmus.engines.shared.pieces import Place
from isthmus.errors import Closed, UnknownMember


class Commits:
    """See the module. `lots` is the member's own table of its partitions, read anew each time."""

    def __init__(self, link: Link, feed: Feed, group: str, lots: Mapping[Place, Lot]) -> None:
        self._link = link
        self._feed = feed
        self._group = group
        self._lots = lots
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a commit is on its way."""
        return self._lock.locked()

    async def commit(self) -> None:
        """State all that has changed, by one call for all who wait."""
        async with self._lock:
            while lots := [lot for lot in self._lots.values() if lot.stated < lot.changes]:
                changes = [lot.changes for lot in lots]
                places = [_place_of(lot) for lot in lots]
                if not await self._commit_once(places):
                    await self._link.pause()
                    continue
                for lot, stated in zip(lots, changes, strict=True):
                    lot.stated = stated

    async def _commit_once(self, places: list[TopicPartition]) -> bool:
        """Commit; False when the group rebalances and it has to be tried again."""
        try:
            rows = await self._feed.call(partial(_commit_now, places))
        except Closed as error:
            raise UnknownMember(self._group, "") from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.REBALANCE_IN_PROGRESS:
                return False
            raise raised(error, self._group) from error
        refused = [row.error for row in rows if row.error is not None]
        if refused:
            raise raised(KafkaException(refused[0]), self._group)
        return True


def _commit_now(places: list[TopicPartition], consumer: Consumer) -> list[TopicPartition]:
    """Runs in the feed's thread."""
    # The stubs know only the call that does not wait.
    commit: Callable[..., list[TopicPartition]] = consumer.commit
    return commit(offsets=places, asynchronous=False)


def _place_of(lot: Lot) -> TopicPartition:
    state = lot.position.progress()
    return TopicPartition(*lot.place, state.floor, progress.encode(state))
