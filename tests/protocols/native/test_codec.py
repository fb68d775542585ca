"""Messages of the native protocol: all of them go round, the text says what they are, and no count is believed."""

import re
import typing
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvalidBatch
from isthmus.limits import NATIVE_DEPTH_MAX
from isthmus.log import batch as log_batch
from isthmus.protocols.native import codec, schema
from isthmus.protocols.native.errors import NativeError
from isthmus.record import Record

TEXT = Path(__file__).parents[3] / "docs" / "formats" / "native.md"
REQUESTS = typing.get_args(schema.Request)
ANSWERS = typing.get_args(schema.Answer)
NUMBER = st.integers(-(2**63), 2**63 - 1)

st.register_type_strategy(int, NUMBER)
st.register_type_strategy(float, st.floats(allow_nan=False))


def messages(kinds: tuple[type, ...]) -> st.SearchStrategy[typing.Any]:
    """Any message of these kinds."""
    return st.sampled_from(kinds).flatmap(any_of)


def any_of(kind: type) -> st.SearchStrategy[typing.Any]:
    """Any value of a struct, from the types of its fields; those with a default may be left out."""
    types = typing.get_type_hints(kind)
    fields = {name: strategy_of(types[name]) for name in kind.__struct_fields__}  # type: ignore[attr-defined]
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def strategy_of(wanted: object) -> st.SearchStrategy[typing.Any]:
    """Any value of a type as the schema writes them."""
    if isinstance(wanted, type):
        return any_of(wanted) if issubclass(wanted, msgspec.Struct) else st.from_type(wanted)
    arguments = typing.get_args(wanted)
    if typing.get_origin(wanted) is tuple and arguments[-1] is Ellipsis:
        return st.lists(strategy_of(arguments[0]), max_size=3).map(tuple)
    if typing.get_origin(wanted) is tuple:
        return st.tuples(*map(strategy_of, arguments))
    if typing.get_origin(wanted) is typing.Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(wanted) is dict:
        return st.dictionaries(strategy_of(arguments[0]), strategy_of(arguments[1]), max_size=3)
    return st.one_of(*map(strategy_of, arguments))


class TestMessages:
    @given(st.integers(0, codec.ID_MAX), messages(REQUESTS))
    def test_a_request_is_the_same_at_the_other_end(self, request_id: int, message: schema.Request) -> None:
        frame = codec.encode(request_id, message)

        assert codec.HEADER.unpack_from(frame) == (len(frame) - 4, request_id)
        assert codec.decode_request(frame[codec.HEADER.size :]) == message

    @given(messages(ANSWERS))
    def test_an_answer_is_the_same_at_the_other_end(self, message: schema.Answer) -> None:
        frame = codec.encode(1, message)

        assert codec.decode_answer(frame[codec.HEADER.size :]) == message

    def test_fields_that_a_newer_version_adds_are_passed_over(self) -> None:
        body = msgspec.msgpack.encode([17, "orders", "new", [1, {"a": 2}]])

        assert codec.decode_request(body) == schema.Partitions("orders")

    def test_the_text_has_every_message_with_its_number_and_fields(self) -> None:
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \| ([^|]*)\|", TEXT.read_text(encoding="utf-8"), re.MULTILINE)

        told = [
            (int(number), name, tuple(fields.split(", ")) if fields.strip() else ()) for number, name, fields in rows
        ]
        told = [(number, name, tuple(field.strip() for field in fields)) for number, name, fields in told]

        assert told == [
            (kind.__struct_config__.tag, kind.__name__, kind.__struct_fields__) for kind in (*REQUESTS, *ANSWERS)
        ]


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xdd\xff\xff\xff\xff\x12",  # an array of four thousand million elements
            b"\x93\x12\xa1a\xdd\x7f\xff\xff\xff",
            b"\x92\x12\xdf\x40\x00\x00\x00",  # a map
            b"\x92\x12\xc6\xff\xff\xff\xff",  # bytes
            b"\x92\x12\xdb\x00\x00\x00\x02a",  # a text that ends too early
            b"\x92\x12\xdb\x00\x00",  # a size that does
            b"\x91" * (NATIVE_DEPTH_MAX + 8) + b"\x01",
            b"\x91\x05\x00",  # something behind it
            b"\x92\xc1\x01",  # a byte that begins nothing
            b"\x92\x11\xa1\xff",  # no UTF-8
            b"\x91\x63",  # no such message
            b"\x92\x11\x05",  # a number for a text
            b"\x05",
        ],
    )
    def test_it_is_refused(self, body: bytes) -> None:
        with pytest.raises(NativeError):
            codec.decode_request(body)
        with pytest.raises(NativeError):
            codec.decode_answer(body)

    @given(st.binary(max_size=64))
    def test_any_bytes_are_refused_or_read(self, body: bytes) -> None:
        with suppress(NativeError):
            assert codec.encode(1, codec.decode_request(body))

    @given(st.recursive(st.none() | st.booleans() | NUMBER | st.text() | st.binary(), st.lists, max_leaves=20))
    def test_what_is_whole_passes_the_count(self, value: object) -> None:
        codec.check_counts(msgspec.msgpack.encode(value))

    @pytest.mark.parametrize("rows", [b"", b"\xdd\x7f\xff\xff\xff", b"\x91\x05", b"\x91\x93\x01\x02\x03", b"\x90\x90"])
    def test_rows_of_deliveries_as_well(self, rows: bytes) -> None:
        with pytest.raises(NativeError):
            codec.unpack_rows(rows)


class TestPacked:
    @given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
    def test_tokens(self, tokens: list[int]) -> None:
        assert list(codec.unpack_tokens(codec.pack_tokens(tokens))) == tokens

    @given(st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple))
    def test_indexes(self, indexes: tuple[int, ...] | None) -> None:
        assert codec.unpack_indexes(codec.pack_indexes(indexes)) == indexes

    @pytest.mark.parametrize("unpack", [codec.unpack_tokens, codec.unpack_indexes])
    def test_cut_off_numbers_are_refused(self, unpack: typing.Callable[[bytes], object]) -> None:
        with pytest.raises(NativeError):
            unpack(b"\x00" * 7)

    @given(st.lists(any_of(schema.Delivery), max_size=5))
    def test_deliveries(self, rows: list[schema.Delivery]) -> None:
        assert codec.unpack_rows(codec.pack_rows(rows)) == rows

    def test_records_in_as_many_batches_as_it_takes(self) -> None:
        records = [Record(b"%d" % number, b"k", timestamp_ms=number - 1) for number in range(10)]

        packed = codec.pack_records(records, 4)

        assert len(log_batch.split(packed)) == 3
        assert codec.unpack_records(packed) == records

    def test_no_records_are_none(self) -> None:
        assert codec.unpack_records(codec.pack_records([], 4)) == []

    def test_records_that_are_compressed_are_refused(self) -> None:
        packed = log_batch.encode([Record(b"a" * 100)], now_ms=0, compression="gzip")

        with pytest.raises(InvalidBatch):
            codec.unpack_records(packed)
