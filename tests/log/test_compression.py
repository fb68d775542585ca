"""The codecs of batches: they read what other programs write, others read what they write, and no bomb goes off."""

import builtins
import gzip
import os
import sys
from types import ModuleType

import cramjam
import pytest
from aiokafka import codec as aiokafka
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st
from lz4 import frame

from isthmus.errors import InvalidBatch, UnsupportedCompression
from isthmus.limits import MIB
from isthmus.log import compression
from isthmus.log.batch import decode, encode, encode_headers
from isthmus.log.compression import CODEC_NAMES, CODECS, SNAPPY_CHUNK_BYTES, STEP_BYTES, check_codec, codec
from isthmus.record import NO_HEADERS, Record, StoredRecord

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NOW_MS = 1_357_000_000_000
Headers = list[tuple[str, bytes | None]]
HEADERS: Headers = [("ce_type", b"Departed"), ("note", None)]
FOUR: tuple[tuple[bytes | None, bytes | None, Headers, int], ...] = (
    (b'{"delay":2}', b"N14228", HEADERS, NOW_MS),
    (b"x" * 70, None, [], NOW_MS + 250),
    (None, b"", [("", b"")], NOW_MS - 1000),
    (b"", b"k" * 64, [], NOW_MS),
)

# The four records as librdkafka (confluent-kafka 2.16) sends them.
LIBRDKAFKA = {
    "gzip": (
        "00000000000000000000009700000000028f9421960001000000030000013bf380c2000000013bf380c2faffffffffffffffffffffff"
        "ffffff000000041f8b08000000000000038b616060e0f133343132b210ab564a49cd49ac54b232aa65e14b4e8d2fa92c481570492d48"
        "2c2a494de1c8cb2f49659cc3c8f0859989b187b1822a804188e13c3f0b03231303431f2303035b0363368580810100d291f60fd20000"
        "00"
    ),
    "snappy": (
        "00000000000000000000008e000000000291ce1d840002000000030000013bf380c2000000013bf380c2faffffffffffffffffffffff"
        "ffffff00000004d201e85c0000000c4e3134323238167b2264656c6179223a327d040e63655f74797065104465706172746564086e6f"
        "7465019c0100f40302018c01787878ee02000d0248001200cf0f0400010200008e0100000680016bfa0100040000"
    ),
    "lz4": (
        "00000000000000000000009c0000000002913bef400003000000030000013bf380c2000000013bf380c2faffffffffffffffffffffff"
        "ffffff0000000404224d186040825c000000ff2a5c0000000c4e3134323238167b2264656c6179223a327d040e63655f747970651044"
        "65706172746564086e6f7465019c0100f40302018c0178010032ff04001200cf0f0400010200008e0100000680016b010029506b6b6b"
        "000000000000"
    ),
    "zstd": (
        "0000000000000000000000920000000002243594710004000000030000013bf380c2000000013bf380c2faffffffffffffffffffffff"
        "ffffff0000000428b52ffd0058c50200e4045c0000000c4e3134323238167b2264656c6179223a327d040e63655f7479706510446570"
        "6172746564086e6f7465019c0100f40302018c0178001200cf0f0400010200008e0100000680016b0000020009a49082823d"
    ),
}

CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=40), st.integers(1, 4_000)),
)


def four() -> list[StoredRecord]:
    return [
        StoredRecord(at, stamp, key, value, encode_headers(headers) if headers else NO_HEADERS)
        for at, (value, key, headers, stamp) in enumerate(FOUR)
    ]


def expand(name: str, data: bytes, bytes_max: int = MIB) -> bytes:
    return codec(name).decompress(memoryview(data), bytes_max)


every_codec = pytest.mark.parametrize("name", list(CODECS))


@every_codec
@given(content=CONTENTS)
def test_what_is_compressed_comes_back(name: str, content: bytes) -> None:
    packed = codec(name).compress(content)

    assert expand(name, packed, len(content)) == content


@every_codec
def test_content_of_several_steps_and_chunks_comes_back(name: str) -> None:
    content = os.urandom(STEP_BYTES + SNAPPY_CHUNK_BYTES // 2) + bytes(5 * STEP_BYTES) + b"end"

    assert expand(name, codec(name).compress(content), len(content)) == content


# ---- other programs ----------------------------------------------------------------------------------------------


@every_codec
def test_batches_of_librdkafka_are_read(name: str) -> None:
    assert decode(bytes.fromhex(LIBRDKAFKA[name])) == four()


@every_codec
def test_batches_of_aiokafka_are_read(name: str) -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODEC_NAMES.index(name),
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=MIB,
    )
    records = [Record(b"value %d" % number * 9, b"key %d" % number, NO_HEADERS, NOW_MS) for number in range(500)]
    for at, record in enumerate(records):
        builder.append(at, timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=[])

    found = decode(bytes(builder.build()))

    assert [(one.key, one.value) for one in found] == [(one.key, one.value) for one in records]


@every_codec
@given(content=CONTENTS.filter(bool))
def test_aiokafka_reads_what_is_written(name: str, content: bytes) -> None:
    packed = codec(name).compress(content)

    assert getattr(aiokafka, f"{name}_decode")(packed) == content


@given(CONTENTS)
def test_the_packages_and_the_codecs_agree(content: bytes) -> None:
    foreign = {
        "gzip": gzip.compress(content, mtime=0),
        "snappy": bytes(cramjam.snappy.compress_raw(content)),
        "lz4": frame.compress(content, store_size=True, content_checksum=True, compression_level=9),
        "zstd": zstd.compress(content, 19),
    }

    assert {name: expand(name, packed, len(content)) for name, packed in foreign.items()} == dict.fromkeys(
        foreign, content
    )


def test_linked_blocks_of_lz4_are_read_and_never_written() -> None:
    content = os.urandom(100) * 5_000

    assert expand("lz4", frame.compress(content, block_linked=True)) == content
    assert not frame.get_frame_info(codec("lz4").compress(content))["block_linked"]


# ---- damage and malice -------------------------------------------------------------------------------------------


@every_codec
def test_a_bomb_is_refused(name: str) -> None:
    bomb = codec(name).compress(bytes(64 * MIB))

    with pytest.raises(InvalidBatch, match="expands to more than 1000 bytes"):
        expand(name, bomb, 1000)


def test_a_bomb_that_says_its_size_is_refused_before_it_is_opened() -> None:
    declared = {"lz4": frame.compress(bytes(MIB), store_size=True), "zstd": zstd.compress(bytes(MIB))}

    for name, bomb in declared.items():
        with pytest.raises(InvalidBatch, match="expands to more than"):
            expand(name, bomb[:16] + b"damaged behind its header", MIB - 1)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x40"], ids=["4 GiB", "1 MiB"])
def test_a_block_of_snappy_cannot_promise_what_its_bytes_cannot_hold(size: bytes) -> None:
    with pytest.raises(InvalidBatch, match="expands to more than"):
        expand("snappy", size + b"\xfe\x01\x00", 2**32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin with its length"),
        (b"\xff" * 9, "does not begin with its length"),
        (b"\x82SNAPPY\x00\x00\x00", "inside the header"),
        (b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05ab", "a chunk of 5 bytes where 2 are left"),
        (b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00", "a chunk of 0 bytes"),
        (b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00", "where 0 are left"),
    ],
)
def test_a_damaged_stream_of_snappy_is_refused_in_words(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidBatch, match=reason):
        expand("snappy", data)


@every_codec
def test_data_that_is_cut_short_or_goes_on_is_refused(name: str) -> None:
    packed = codec(name).compress(os.urandom(200) + bytes(10_000))

    for wrong in (b"", packed[:1], packed[:-1], packed[:-9], packed + b"x", packed + packed):
        with pytest.raises(InvalidBatch):
            expand(name, wrong)


@every_codec
@given(data=st.data())
def test_damaged_data_gives_content_within_the_bound_or_is_refused(name: str, data: st.DataObject) -> None:
    packed = bytearray(codec(name).compress(data.draw(CONTENTS)))
    for at in data.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=4)):
        packed[at] = data.draw(st.integers(0, 255))

    try:
        content = expand(name, bytes(packed), 10_000)
    except InvalidBatch:
        return

    assert len(content) <= 10_000


# ---- what is not there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "package"), [("snappy", "cramjam"), ("lz4", "lz4"), ("zstd", "backports")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    real = builtins.__import__

    def without(module: str, *rest: object, **named: object) -> ModuleType:
        if module.split(".", maxsplit=1)[0] in (package, "compression"):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(module, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setitem(CODECS, name, getattr(compression, f"_{name}").__wrapped__)
    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(UnsupportedCompression, match=r"isthmus\[fast\]") as refused:
        encode([Record(b"x")], now_ms=NOW_MS, compression=name)
    assert refused.value.codec == name


def test_a_name_is_checked_before_anything_is_compressed() -> None:
    assert [check_codec(name) for name in CODEC_NAMES] == list(CODEC_NAMES)
    with pytest.raises(UnsupportedCompression, match="no such codec"):
        check_codec("brotli")
    with pytest.raises(UnsupportedCompression):
        codec("none")
