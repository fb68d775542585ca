"""Every message in every version: there and back, and nothing of what a peer may send goes further than an error."""

import random
import tracemalloc

import pytest

from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka.compiled import MalformedMessage, decoder, encoder, skip_tags
from isthmus.protocols.kafka.schema import Layout, layouts, requests
from support.kafka_messages import build

ALL = [
    (layout, version) for layout in layouts().values() for version in range(layout.versions[0], layout.versions[1] + 1)
]
REQUESTS = [
    (layout, version) for layout in requests().values() for version in range(layout.versions[0], layout.versions[1] + 1)
]
MEMORY_PER_BYTE = 200


def encoded(layout: Layout, version: int, rng: random.Random) -> tuple[object, bytes]:
    message = build(layout, version, rng)
    parts: list[bytes] = []
    encoder(layout.name, version)(message, parts)
    return message, b"".join(parts)


@pytest.mark.parametrize("seed", range(10))
def test_what_was_written_is_read_again(seed: int) -> None:
    rng = random.Random(seed)
    for layout, version in ALL:
        message, data = encoded(layout, version, rng)

        again, end = decoder(layout.name, version)(data, 0, len(data))

        assert (again, end) == (message, len(data)), f"{layout.name} {version}"


def test_what_is_cut_short_is_refused() -> None:
    rng = random.Random(1)
    for layout, version in REQUESTS:
        _, data = encoded(layout, version, rng)
        for size in {*range(min(len(data), 8)), len(data) - 1} - {-1, len(data)}:
            with pytest.raises(MalformedMessage):
                codec.decode_request(layout.api_key or 0, version, data[:size])


def test_damage_ends_in_an_error_and_takes_no_memory_that_was_not_sent() -> None:
    rng = random.Random(2)
    for layout, version in REQUESTS:
        _, data = encoded(layout, version, rng)
        for _ in range(10):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(damaged) + 1)
                damaged[at : at + 1] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 9, rng.randbytes(1)])
            tracemalloc.start()
            try:
                codec.decode_request(layout.api_key or 0, version, bytes(damaged))
            except MalformedMessage:
                pass
            finally:
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            assert peak < 100_000 + MEMORY_PER_BYTE * len(damaged)


def test_unknown_tagged_fields_are_passed_over() -> None:
    data = b"\x02" + b"\x05\x03abc" + b"\x80\x01\x00"

    assert skip_tags(data, 0, len(data)) == len(data)
    with pytest.raises(MalformedMessage):
        skip_tags(b"\x01\x05\x03ab", 0, 5)


def test_a_count_that_cannot_be_is_refused_before_anything_is_made_of_it() -> None:
    heartbeats = b"\x00" * 4 + b"\x7f\xff\xff\xff"

    with pytest.raises(MalformedMessage, match="elements"):
        codec.decode_request(3, 4, heartbeats[4:] + b"\x01")
    with pytest.raises(MalformedMessage, match="negative"):
        codec.decode_request(3, 4, b"\xff\xff\xff\xfe\x01")
