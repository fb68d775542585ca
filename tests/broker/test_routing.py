"""Where records go: Java's hash, spreading by key, and exchanges."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker import routing
from isthmus.broker.bindings import Bound, Headers, table_of
from isthmus.broker.routing import Router, murmur2, walk
from isthmus.definition import ExchangeKind, HeaderMatch
from isthmus.errors import Unsupported
from isthmus.record import Record


class TestMurmur2:
    """Spec: Apache Kafka, `org.apache.kafka.common.utils.UtilsTest`, where hashes are signed."""

    @pytest.mark.parametrize(
        ("data", "signed"),
        [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
            (b"", 275646681),
        ],
    )
    def test_it_is_that_of_the_java_client(self, data: bytes, signed: int) -> None:
        assert murmur2(data) == signed & 0xFFFFFFFF

    @given(st.binary(max_size=64))
    def test_it_is_an_unsigned_number_of_32_bits(self, data: bytes) -> None:
        assert 0 <= murmur2(data) < 1 << 32

    def test_a_key_finds_the_partition_that_the_java_client_would_choose(self) -> None:
        router = Router("murmur2", 50)

        assert router.partition_of(b"foobar") == (-790332482 & 0x7FFFFFFF) % 50 == 16


class TestSpread:
    def test_records_of_a_key_stay_together_and_in_order(self) -> None:
        router = Router("murmur2", 4)
        keys = [b"a", b"b", b"c", b"a", b"b", b"a"]

        spread = router.spread([Record(b"", key) for key in keys])

        assert sorted(at for share in spread.values() for at in share) == list(range(6))
        for partition, share in spread.items():
            assert share == sorted(share)
            assert all(router.partition_of(keys[at]) == partition for at in share)

    def test_records_without_key_stay_together_and_the_next_publish_takes_the_next_partition(self) -> None:
        router = Router("murmur2", 3)
        batch = [Record(b"1"), Record(b"2")]

        chosen = [list(router.spread(batch)) for _ in range(4)]

        assert chosen == [[0], [1], [2], [0]]

    def test_an_empty_key_is_a_key(self) -> None:
        router = Router("murmur2", 5)

        chosen = {tuple(router.spread([Record(b"", b"")])) for _ in range(10)}

        assert chosen == {(murmur2(b"") % 2**31 % 5,)}

    def test_keys_spread_evenly(self) -> None:
        router = Router("murmur2", 8)

        counts = Counter(router.partition_of(f"order-{number}".encode()) for number in range(8_000))

        assert len(counts) == 8
        assert min(counts.values()) > 800

    def test_a_topic_of_single_placement_uses_its_first_partition_for_keys(self) -> None:
        assert Router("single", 4).partition_of(b"anything") == 0

    @pytest.mark.parametrize("placement", ["md5-range", "priority"])
    def test_placements_of_later_versions_are_refused_by_name(self, placement: str) -> None:
        router = Router(placement, 4)  # type: ignore[arg-type]

        with pytest.raises(Unsupported, match=placement):
            router.partition_of(b"a")

    def test_the_memory_of_keys_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routing, "_ROUTES_KEPT", 10)
        router = Router("murmur2", 4)

        for number in range(100):
            router.partition_of(str(number).encode())

        assert len(router._known) <= 10


class Place:
    """An exchange for the walk: its table, and the name of its alternate."""

    def __init__(self, number: int, kind: ExchangeKind, alternate: int | None = None) -> None:
        self.number, self.table, self.alternate = number, table_of(kind), alternate

    def bind(self, order: int, *, topic: int = 0, to: int = 0, key: str = "", match: HeaderMatch | None = None) -> None:
        self.table.add(Bound(topic, to, key, match, b"", order))


def walked(
    places: list[Place], *keys: str, headers: Callable[[], Headers] = dict, start: int = 100
) -> tuple[list[int], bool]:
    by_number = {place.number: place for place in places}
    return walk(
        by_number[start],
        keys or ("",),
        headers,
        by_number.get,
        lambda place: by_number.get(place.alternate) if place.alternate is not None else None,
    )


class TestWalks:
    def test_topics_come_once_in_the_order_of_binding_and_those_of_nearer_exchanges_first(self) -> None:
        near, far = Place(100, "fanout"), Place(101, "fanout")
        near.bind(1, to=101)
        near.bind(2, topic=3)
        far.bind(1, topic=2)
        far.bind(2, topic=3)

        assert walked([near, far]) == ([3, 2], False)

    def test_a_circle_of_exchanges_is_walked_once(self) -> None:
        one, two = Place(100, "fanout", alternate=100), Place(101, "direct", alternate=100)
        one.bind(1, to=101)
        one.bind(2, to=100)

        assert walked([one, two]) == ([], False)

    def test_every_exchange_on_the_way_looks_at_the_same_keys(self) -> None:
        one, two = Place(100, "topic"), Place(101, "direct")
        one.bind(1, to=101, key="a.*")
        two.bind(1, topic=1, key="a.b")
        two.bind(2, topic=2, key="a.c")

        assert walked([one, two], "a.c") == ([2], False)
        assert walked([one, two], "x", "a.b") == ([1], False)

    def test_what_finds_no_way_goes_to_the_alternate_and_on_to_that_ones(self) -> None:
        one, two, three = Place(100, "direct", alternate=101), Place(101, "direct", alternate=102), Place(102, "fanout")
        one.bind(1, topic=1, key="a")
        three.bind(1, topic=3)

        assert walked([one, two, three], "a") == ([1], False)
        assert walked([one, two, three], "b") == ([3], False)

    def test_an_exchange_that_passed_it_on_has_found_a_way_whatever_becomes_of_it_there(self) -> None:
        one, two, other = Place(100, "fanout", alternate=102), Place(101, "direct"), Place(102, "fanout")
        one.bind(1, to=101)
        other.bind(1, topic=9)

        assert walked([one, two, other], "b") == ([], False)

    def test_an_exchange_that_is_gone_leads_nowhere(self) -> None:
        one = Place(100, "fanout", alternate=7)
        one.bind(1, to=5)

        assert walked([one]) == ([], False)

    def test_headers_are_asked_for_once_and_only_when_they_decide(self) -> None:
        asked: list[int] = []
        one, two, three = Place(100, "topic"), Place(101, "headers"), Place(102, "headers")
        one.bind(1, to=101, key="#.h")
        two.bind(1, to=102)
        three.bind(1, topic=3, match=HeaderMatch(rows=(("a", 1),)))

        def headers() -> Headers:
            asked.append(1)
            return {"a": 1}

        assert walked([one, two, three], "no", headers=headers) == ([], False)
        assert asked == []
        assert walked([one, two, three], "x.h", headers=headers) == ([3], True)
        assert asked == [1]
