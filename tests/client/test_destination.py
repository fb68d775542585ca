"""Typed destinations: what can be declared, and what becomes of it."""

from datetime import UTC, datetime
from typing import Any, TypeVar, Union

import pytest

from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.event import Event, Notification, State
from isthmus.client.retry import Backoff
from isthmus.definition import (
    DAY_MS,
    BackoffPolicy,
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
    check_name,
)
from isthmus.errors import DeclarationError, InvalidArgument, InvalidName, Unsupported


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


class Customer(State):
    customer_id: str


def twin() -> type[Event]:
    class Placed(Notification):
        order_id: str

    return Placed


def stream(carries: object, **options: Any) -> Stream[Any]:
    options.setdefault("key", "order_id")
    declared: Stream[Any] = Stream[carries]("orders", **options)  # type: ignore[valid-type]
    return declared


class TestNames:
    @pytest.mark.parametrize("name", ["a", "ä/b c", "x" * 255, "日本", "a.b-c_d"])
    def test_a_name_is_1_to_255_bytes_of_text(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("", "empty"),
            ("a\x00b", "control character"),
            ("a\nb", "control character"),
            ("a\x7f", "control character"),
            ("a\x85", "control character"),
            ("x" * 256, "256 bytes"),
            ("ä" * 128, "256 bytes"),
            ("\ud800", "not valid Unicode"),
            (7, "int, not text"),
        ],
    )
    def test_what_is_no_name_is_refused_with_the_reason(self, name: str, said: str) -> None:
        with pytest.raises(InvalidName, match=said):
            Stream[Placed](name, key=None)


class TestTypes:
    def test_one_type(self) -> None:
        assert Stream[Placed]("orders", key="order_id").types == (Placed,)

    def test_a_union_by_type_name_however_it_is_written(self) -> None:
        orders = Stream[Placed | Cancelled]("orders", key="order_id")

        assert orders.types == (Cancelled, Placed)
        assert orders.type_names == ("Cancelled", "Placed")

    def test_a_union_of_unions(self) -> None:
        class Sent(Notification):
            order_id: str

        both = Cancelled | Placed

        assert stream(Sent | both).types == (Cancelled, Placed, Sent)
        assert stream(Union[Placed, Sent]).types == (Placed, Sent)  # noqa: UP007 - the older way to write it

    def test_a_queue_has_types_too(self) -> None:
        assert Queue[Placed]("work").types == (Placed,)

    def test_without_a_type_argument_it_says_how_to_give_one(self) -> None:
        orders: Stream[Placed] = Stream("orders", key="order_id")

        with pytest.raises(DeclarationError, match=r"Stream\('orders'\) does not say .* write Stream\[YourEvent\]"):
            orders.types  # noqa: B018 - asking is what raises

    @pytest.mark.parametrize(
        "carries",
        [int, "Placed", Placed | None, Placed | int, Event, Notification, State, TypeVar("T"), list[Placed], Any],
    )
    def test_what_is_no_event_class_is_refused(self, carries: object) -> None:
        with pytest.raises(DeclarationError, match="no event class; subclass Notification, State or Event"):
            stream(carries).types  # noqa: B018

    def test_two_types_of_one_name_are_refused(self) -> None:
        with pytest.raises(DeclarationError, match=r"are both named 'Placed'; give one of them another name"):
            stream(Placed | twin()).types  # noqa: B018

    def test_a_key_field_that_a_type_does_not_have_is_refused(self) -> None:
        with pytest.raises(DeclarationError, match=r"key field 'customer' is no field of Placed \(it has order_id\)"):
            stream(Placed, key="customer").types  # noqa: B018
        with pytest.raises(DeclarationError, match="key field 'leg'"):
            stream(Placed, key=("order_id", "leg")).types  # noqa: B018

    def test_state_needs_a_key(self) -> None:
        with pytest.raises(DeclarationError, match="compacted, which goes by key; give it key="):
            stream(Customer, key=None).types  # noqa: B018

    def test_a_compacted_stream_needs_a_key(self) -> None:
        with pytest.raises(DeclarationError, match="compacted, which goes by key"):
            stream(Placed, key=None, compact=True).types  # noqa: B018

    def test_state_does_not_mix_with_other_events(self) -> None:
        class Renamed(State):
            order_id: str

        with pytest.raises(DeclarationError, match=r"mixes State \(Renamed\).* with Placed; declare two streams"):
            stream(Placed | Renamed).types  # noqa: B018

    def test_what_is_kept_per_key_is_not_removed_when_consumed(self) -> None:
        with pytest.raises(DeclarationError, match="consumed=True cannot be"):
            stream(Customer, key="customer_id", consumed=True).types  # noqa: B018

    def test_the_codec_checks_the_types(self) -> None:
        class Odd(Notification):
            what: complex

        with pytest.raises(DeclarationError, match="Odd has a field"):
            Stream[Odd]("odd", key=None).types  # noqa: B018

    def test_a_codec_that_is_not_there_yet_is_refused(self) -> None:
        with pytest.raises(Unsupported, match="avro"):
            Stream[Placed]("orders", key=None, codec="avro").types  # noqa: B018

    def test_only_streams_and_queues_can_be_made(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            Destination[Placed]("orders", None, "json")  # type: ignore[abstract]


class TestStreams:
    def test_the_definition_of_a_plain_stream(self) -> None:
        assert Stream[Placed]("orders", key="order_id", partitions=6).definition() == TopicDefinition(
            name="orders",
            partitions=6,
            config=TopicConfig(age_ms=7 * DAY_MS, event_types=("Placed",), key_field="order_id"),
        )

    def test_every_option_reaches_the_definition(self) -> None:
        orders = Stream[Placed | Cancelled](
            "orders",
            key=("order_id",),
            retain="2d",
            retain_size="1GB",
            consumed=True,
            floor="1h",
            ceiling="30d",
            silent="1d",
            durability="written",
        )

        assert orders.definition().config == TopicConfig(
            level="written",
            age_ms=2 * DAY_MS,
            size_bytes=10**9,
            consumed=True,
            floor_ms=3_600_000,
            ceiling_ms=30 * DAY_MS,
            silent_ms=DAY_MS,
            event_types=("Cancelled", "Placed"),
            key_field="order_id",
        )

    def test_a_stream_of_state_is_compacted_and_kept_for_ever(self) -> None:
        config = Stream[Customer]("customers", key="customer_id").definition().config

        assert config.compact
        assert config.age_ms is None

    def test_an_age_that_is_given_holds_for_a_compacted_stream_too(self) -> None:
        config = Stream[Customer]("customers", key="customer_id", compact=True, retain="1d").definition().config

        assert config.age_ms == DAY_MS

    def test_events_can_be_kept_for_ever(self) -> None:
        assert Stream[Placed]("orders", key=None, retain=None).definition().config.age_ms is None

    def test_dead_letters_of_a_group_are_a_queue_that_never_gives_up(self) -> None:
        orders = Stream[Placed]("orders", key="order_id", durability="written")

        assert orders.dead_name("billing") == "orders.billing.dead"
        assert orders.dead_definition("billing") == QueueDefinition(
            name="orders.billing.dead",
            config=QueueConfig(failed_max=None),
            topic=TopicConfig(level="written", consumed=True, event_types=("Placed",), key_field="order_id"),
        )

    def test_dead_letters_can_be_switched_off(self) -> None:
        orders = Stream[Placed]("orders", key="order_id", dead=False)

        assert orders.dead_name("billing") is None
        assert orders.dead_definition("billing") is None

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"partitions": 0}, "partitions: 0 is outside 1 to 1024"),
            ({"partitions": 1025}, "partitions: 1025"),
            ({"retain": "7"}, "retain: '7' is not a duration"),
            ({"retain_size": "7"}, "retain_size: '7' is not a size"),
            ({"durability": "memory"}, "durability: 'memory' is neither"),
        ],
    )
    def test_figures_that_cannot_be_are_refused(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidArgument, match=said):
            stream(Placed, **options)

    def test_what_it_asks_of_an_engine(self) -> None:
        assert Stream[Placed]("orders", key=None).promises() == ()
        assert Stream[Customer]("customers", key="customer_id").promises() == ("compact",)
        assert Stream[Placed]("orders", key=None, consumed=True).promises() == ("consumed",)

    def test_its_repr_names_it(self) -> None:
        assert repr(Stream[Placed]("orders", key=None)) == "Stream('orders')"


class TestQueues:
    def test_the_definition_of_a_plain_queue(self) -> None:
        assert Queue[Placed]("work").definition() == QueueDefinition(
            name="work",
            config=QueueConfig(lease_ms=30_000, failed_max=5, backoff=BackoffPolicy(), dead="work.dead"),
            topic=TopicConfig(consumed=True, event_types=("Placed",)),
        )

    def test_every_option_reaches_the_definition(self) -> None:
        work = Queue[Placed](
            "work",
            key="order_id",
            lease="1m",
            retry=Backoff(3, "2s", "1m", jitter=0),
            dead="graveyard",
            ttl="1h",
            dedup="10m",
            durability="written",
        )

        assert work.definition() == QueueDefinition(
            name="work",
            config=QueueConfig(
                lease_ms=60_000,
                failed_max=3,
                backoff=BackoffPolicy(attempts=3, first_ms=2000, max_ms=60_000, jitter=0),
                dead="graveyard",
                ordered=True,
                ttl_ms=3_600_000,
            ),
            topic=TopicConfig(
                level="written", consumed=True, dedup_ms=600_000, event_types=("Placed",), key_field="order_id"
            ),
        )

    def test_dead_letters_are_an_ordinary_queue_that_never_gives_up(self) -> None:
        found = Queue[Placed]("work").dead_definition()

        assert found == QueueDefinition(
            name="work.dead",
            config=QueueConfig(failed_max=None),
            topic=TopicConfig(consumed=True, event_types=("Placed",)),
        )

    def test_dead_letters_can_be_switched_off(self) -> None:
        work = Queue[Placed]("work", dead=False)

        assert work.definition().config.dead is None
        assert work.dead_definition() is None

    def test_levels_of_priority_and_a_single_consumer_are_promises(self) -> None:
        work = Queue[Placed]("work", priorities=3, single=True)

        assert (work.definition().config.priorities, work.definition().config.single) == (3, True)
        assert {"priority", "single"} <= set(work.promises())

    def test_a_bound_is_a_promise_and_says_what_happens_beyond(self) -> None:
        work = Queue[Placed]("work", max_events=10, max_bytes="1MB", overflow="drop")

        config = work.definition().config
        assert (config.max_events, config.max_bytes, config.overflow) == (10, 1_000_000, "drop")
        assert "bounded" in work.promises()
        assert "bounded" not in Queue[Placed]("other").promises()

    def test_bounds_that_cannot_be_are_named(self) -> None:
        with pytest.raises(InvalidArgument, match="max_events: -1"):
            Queue[Placed]("work", max_events=-1)
        with pytest.raises(InvalidArgument, match="overflow"):
            Queue[Placed]("work", overflow="explode")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(Unsupported, match="where bounds cannot be"):
            Queue[Placed]("work", of=Stream[Placed]("orders", key=None), max_events=2)

    def test_levels_of_priority_that_cannot_be_are_named(self) -> None:
        with pytest.raises(InvalidArgument, match="priorities: 257 is not in 1 to 256"):
            Queue[Placed]("work", priorities=257)
        with pytest.raises(Unsupported, match="where priorities cannot be"):
            Queue[Placed]("work", of=Stream[Placed]("orders", key=None), priorities=2)

    @pytest.mark.parametrize("lease", ["0ms", "13h"])
    def test_a_lease_has_bounds(self, lease: str) -> None:
        with pytest.raises(InvalidArgument, match=r"lease: .* is outside 1 ms to 12 h"):
            Queue[Placed]("work", lease=lease)

    @pytest.mark.parametrize(
        "later",
        [
            {"fair": True},
        ],
    )
    def test_options_of_later_versions_are_refused_by_name(self, later: dict[str, Any]) -> None:
        with pytest.raises(Unsupported, match=rf"Queue\('work'\): {next(iter(later))}= comes in a later version"):
            Queue[Placed]("work", **later)

    def test_the_name_of_its_dead_letters_must_be_one_too(self) -> None:
        with pytest.raises(InvalidName, match="256 bytes"):
            Queue[Placed]("x" * 251)
        with pytest.raises(InvalidName, match="control"):
            Queue[Placed]("work", dead="a\nb")

    def test_what_it_asks_of_an_engine(self) -> None:
        orders = Stream[Placed]("orders", key=None)

        assert Queue[Placed]("work", dead=False).promises() == ("queue", "retry")
        assert Queue[Placed]("work", key="order_id", ttl="1h").promises() == (
            "queue",
            "ordered",
            "ttl",
            "retry",
            "dead",
        )
        assert Queue[Placed]("work", of=orders).promises() == ("queue", "view", "retry", "dead")


class TestViews:
    orders = Stream[Placed | Cancelled]("orders", key="order_id")

    def test_a_view_takes_a_stream_as_its_second_source(self) -> None:
        work = Queue[Placed | Cancelled]("work", of=self.orders)

        assert work.definition().view_of == "orders"
        assert work.definition().view_start == "earliest"

    @pytest.mark.parametrize(
        ("start", "view_start"),
        [("latest", "latest"), ("1970-01-01T00:00:01Z", 1000), (datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC), 2000)],
    )
    def test_a_view_begins_where_it_is_told(self, start: Any, view_start: object) -> None:  # noqa: ANN401
        assert Queue[Placed | Cancelled]("work", of=self.orders, start=start).definition().view_start == view_start

    @pytest.mark.parametrize("start", ["-1h", "17", 17, "soon"])
    def test_a_view_begins_at_no_age_and_no_offset(self, start: str) -> None:
        with pytest.raises(InvalidArgument, match="start: "):
            Queue[Placed | Cancelled]("work", of=self.orders, start=start)

    def test_a_view_names_all_types_of_its_stream(self) -> None:
        with pytest.raises(DeclarationError, match="also carries Cancelled; name all of its types"):
            Queue[Placed]("work", of=self.orders).types  # noqa: B018

    def test_a_view_has_the_codec_of_its_stream(self) -> None:
        with pytest.raises(DeclarationError, match="whose codec is 'json'"):
            Queue[Placed | Cancelled]("work", of=self.orders, codec="protobuf")._check((Placed, Cancelled))

    def test_a_view_is_ordered_by_the_key_of_its_stream_or_not_at_all(self) -> None:
        assert Queue[Placed | Cancelled]("work", of=self.orders, key="order_id").definition().config.ordered
        unkeyed = Stream[Placed]("loose", key=None)

        with pytest.raises(DeclarationError, match="its key can only be None"):
            Queue[Placed]("work", of=unkeyed, key="order_id").types  # noqa: B018

    def test_a_view_has_no_time_to_live(self) -> None:
        with pytest.raises(Unsupported, match=r"Queue\('work'\) is a view of Stream\('orders'\), where a time to live"):
            Queue[Placed | Cancelled]("work", of=self.orders, ttl="1h")


def test_writers_and_readers_are_kept() -> None:
    orders = Stream[Placed]("orders", key="order_id")

    assert orders.writer("shop") is orders.writer("shop")
    assert orders.writer("shop") is not orders.writer()
    assert orders.reader() is orders.reader()
