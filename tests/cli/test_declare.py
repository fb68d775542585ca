"""What the options of `create` and `alter` make of a definition."""

import msgspec
import pytest

from isthmus.cli.declare import Asked, differences, queue_definitions, stream_definition
from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification, State
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig
from isthmus.errors import InvalidArgument


class Placed(Notification):
    order_id: str


class Customer(State):
    customer_id: str


def test_a_stream_without_options_is_that_of_the_library() -> None:
    declared = Stream[Placed]("orders", key=None).definition()

    made = stream_definition("orders", Asked(), compact=False)

    assert made == msgspec.structs.replace(
        declared, config=msgspec.structs.replace(declared.config, event_types=(), key_field=None)
    )


def test_a_compacted_stream_is_that_of_the_library() -> None:
    declared = Stream[Customer]("customers", key="customer_id").definition()

    made = stream_definition("customers", Asked(key_field="customer_id"), compact=True)

    assert made == msgspec.structs.replace(declared, config=msgspec.structs.replace(declared.config, event_types=()))


def test_a_queue_and_its_dead_letters_are_those_of_the_library() -> None:
    declared = Queue[Placed]("jobs")
    expected = [declared.dead_definition(), declared.definition()]

    made = queue_definitions("jobs", Asked(), None, None)

    assert made == [
        msgspec.structs.replace(each, topic=msgspec.structs.replace(each.topic, event_types=()))
        for each in expected
        if each is not None
    ]


def test_none_takes_a_limit_away_and_silence_leaves_it() -> None:
    config = TopicConfig(age_ms=5, size_bytes=7)

    assert Asked(retain="none").topic(config) == TopicConfig(age_ms=None, size_bytes=7)
    assert Asked().topic(config) == config
    assert Asked(dead="none").queue(QueueConfig(dead="x")).dead is None
    assert Asked().queue(QueueConfig(dead="x")).dead == "x"


def test_sizes_may_be_plain_bytes() -> None:
    assert Asked(retain_size="1000").topic(TopicConfig()).size_bytes == 1_000


def test_a_bound_is_a_number_or_none_and_a_size() -> None:
    changed = Asked(max_events="10", max_bytes="1MB", overflow="drop").queue(QueueConfig())
    lifted = Asked(max_events="none", max_bytes="none").queue(changed)

    assert (changed.max_events, changed.max_bytes, changed.overflow) == (10, 1_000_000, "drop")
    assert (lifted.max_events, lifted.max_bytes, lifted.overflow) == (None, None, "drop")
    with pytest.raises(InvalidArgument, match="--max-events"):
        Asked(max_events="many").queue(QueueConfig())


def test_attempts_are_the_limit_and_the_policy() -> None:
    changed = Asked(attempts=3).queue(QueueConfig())

    assert (changed.failed_max, changed.backoff.attempts) == (3, 3)


@pytest.mark.parametrize("option", Asked.QUEUE)
def test_options_of_queues_are_refused_for_streams(option: str) -> None:
    value: object = {"attempts": 3, "ordered": True, "priorities": 2, "single": True}.get(option, "1s")

    with pytest.raises(InvalidArgument, match="is for queues"):
        Asked(**{option: value}).refuse_queue_options("orders")  # type: ignore[arg-type]  # each has its own type


@pytest.mark.parametrize(
    ("text", "start"),
    [(None, "earliest"), ("latest", "latest"), ("2013-01-01T05:00:00Z", 1_357_016_400_000)],
)
def test_a_view_begins_at_an_end_or_a_time(text: str | None, start: object) -> None:
    (*_, made) = queue_definitions("picking", Asked(), "orders", text)

    assert isinstance(made, QueueDefinition)
    assert (made.view_of, made.view_start) == ("orders", start)


@pytest.mark.parametrize("text", ["-1h", "5", "soon"])
def test_a_view_begins_nowhere_else(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--from"):
        queue_definitions("picking", Asked(), "orders", text)


def test_differences_are_told_by_setting() -> None:
    assert differences(QueueConfig(lease_ms=1), QueueConfig(lease_ms=2)) == {"lease_ms": (1, 2)}
    assert differences(TopicConfig(), TopicConfig()) == {}
