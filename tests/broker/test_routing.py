"""Where records go: Java's hash, spreading by key, and exchanges."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker import routing
from isthmus.broker.routing import Router, murmur2, topics_for
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


class TestExchanges:
    BINDINGS = ((1, "a"), (2, "b"), (3, "a"), (1, "b"))

    def test_direct_compares_the_key(self) -> None:
        assert topics_for("direct", self.BINDINGS, "a") == [1, 3]
        assert topics_for("direct", self.BINDINGS, "c") == []

    def test_fanout_takes_every_topic_once_in_the_order_of_binding(self) -> None:
        assert topics_for("fanout", self.BINDINGS, "whatever") == [1, 2, 3]

    @pytest.mark.parametrize("kind", ["topic", "headers"])
    def test_kinds_of_later_versions_are_refused_by_name(self, kind: str) -> None:
        with pytest.raises(Unsupported, match=kind):
            topics_for(kind, self.BINDINGS, "a")  # type: ignore[arg-type]
