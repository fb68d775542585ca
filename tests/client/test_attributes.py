"""Queue attributes of a publish call."""

from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.client.attributes import attributes_of
from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification
from isthmus.engines.base import Attributes
from isthmus.errors import InvalidArgument, Unsupported


class Placed(Notification):
    order_id: str


NOW_MS = 1_700_000_000_000
ORDERS = Stream[Placed]("orders", key="order_id")
WORK = Queue[Placed]("work")
LEVELS = Queue[Placed]("levels", priorities=3)
VIEW = Queue[Placed]("view", of=ORDERS)


def test_nothing_given_is_no_attributes() -> None:
    assert attributes_of(WORK, 3, NOW_MS) is None
    assert attributes_of(ORDERS, 3, NOW_MS) is None


def test_delay_and_time_to_live_count_from_now() -> None:
    assert attributes_of(WORK, 3, NOW_MS, delay="15m", ttl="1h") == Attributes(
        due_ms=NOW_MS + 900_000, expire_ms=NOW_MS + 3_600_000
    )


def test_a_time_is_taken_as_it_is() -> None:
    found = attributes_of(WORK, 1, NOW_MS, at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))

    assert found == Attributes(due_ms=1000)


def test_an_id_goes_with_one_event_of_a_queue_or_a_stream() -> None:
    assert attributes_of(WORK, 1, NOW_MS, dedup="o-1") == Attributes(dedup="o-1")
    assert attributes_of(ORDERS, 1, NOW_MS, dedup="o-1") == Attributes(dedup="o-1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delay": "1s", "at": datetime(2026, 1, 1, tzinfo=UTC)}, "delay: goes without at="),
        ({"delay": "soon"}, "delay: 'soon' is not a duration"),
        ({"at": datetime(2026, 1, 1)}, "at: .* has no time zone"),  # noqa: DTZ001 - that is the point
        ({"dedup": ""}, "dedup: has 0 bytes"),
        ({"dedup": "x" * 256}, "dedup: has 256 bytes"),
    ],
)
def test_values_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        attributes_of(WORK, 1, NOW_MS, **options)


def test_an_id_does_not_go_with_several_events() -> None:
    with pytest.raises(InvalidArgument, match="names one event, but 2 are published"):
        attributes_of(WORK, 2, NOW_MS, dedup="o-1")


@pytest.mark.parametrize(
    "options", [{"delay": "1s"}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"ttl": "1s"}, {"priority": 1}]
)
def test_a_stream_takes_no_queue_attributes(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=rf"Stream\('orders'\) is a stream: {next(iter(options))}= is for queues"):
        attributes_of(ORDERS, 1, NOW_MS, **options)


@pytest.mark.parametrize("options", [{"delay": "1s"}, {"ttl": "1s"}, {"priority": 1}, {"dedup": "x"}])
def test_a_view_takes_no_queue_attributes(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=rf"is a view of Stream\('orders'\), where {next(iter(options))}= cannot be"):
        attributes_of(VIEW, 1, NOW_MS, **options)


def test_a_queue_has_one_priority_level_unless_it_is_given_more() -> None:
    with pytest.raises(Unsupported, match="one priority level"):
        attributes_of(WORK, 1, NOW_MS, priority=1)


def test_a_priority_is_one_of_the_levels() -> None:
    found = attributes_of(LEVELS, 2, NOW_MS, priority=2)

    assert found is not None
    assert found.priority == 2


@pytest.mark.parametrize("priority", [-1, 3])
def test_a_priority_that_is_no_level_is_named(priority: int) -> None:
    with pytest.raises(InvalidArgument, match=f"priority: {priority} is not in 0 to 2"):
        attributes_of(LEVELS, 1, NOW_MS, priority=priority)
