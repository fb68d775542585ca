"""Methods and frames: round trips, the same bytes as another implementation, and what is refused."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import assume, given
from msgspec import structs
from pamqp import frame as pamqp_frame
from pamqp.commands import INDEX_MAPPING

from isthmus.errors import InvalidArgument
from isthmus.protocols.amqp import codec, methods
from isthmus.protocols.amqp.codec import decode_method, encode_method
from isthmus.protocols.amqp.methods import ALL, Method
from isthmus.protocols.amqp.properties import Properties, encode_properties
from isthmus.protocols.amqp.table import Malformed, Timestamp
from support.amqp_values import METHODS

RELICS = (methods.AccessRequest, methods.AccessRequestOk)
"""What the other implementation does not know."""

PROPERTIES = encode_properties(Properties(delivery_mode=2))


def theirs(value: Any) -> Any:  # noqa: ANN401 - any type of a table
    """A value of ours as pamqp gives it."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        case dict():
            return {
                name: dt.datetime.fromtimestamp(each.seconds, tz=dt.UTC) if isinstance(each, Timestamp) else each
                for name, each in value.items()
            }
        case _:
            return value


def read_by_pamqp(raw: bytes) -> list[tuple[int, Any]]:
    """Frames, each with its channel."""
    found: list[tuple[int, Any]] = []
    while raw:
        size, channel, each = pamqp_frame.unmarshal(raw)
        found.append((channel, each))
        raw = raw[size:]
    return found


class TestMethods:
    @given(METHODS)
    def test_every_method_comes_back(self, method: Method) -> None:
        assert decode_method(encode_method(method)) == method

    @pytest.mark.filterwarnings("ignore:This command is deprecated")
    @given(METHODS)
    def test_pamqp_reads_what_we_write(self, method: Method) -> None:
        assume(not isinstance(method, RELICS))

        channel, read = read_by_pamqp(codec.method_frame(3, method))[0]

        flat = [name for name in method.__struct_fields__ if not isinstance(getattr(method, name), dict)]
        pairs = zip(method.__struct_fields__, read.__slots__, strict=True)
        ours_by_theirs = {slot: name for name, slot in pairs if name in flat}
        assert channel == 3
        assert {slot: getattr(read, slot) for slot in ours_by_theirs} == {
            slot: theirs(getattr(method, name)) for slot, name in ours_by_theirs.items()
        }

    def test_the_methods_are_those_of_another_implementation(self) -> None:
        assert {each.METHOD: each.NAME for each in ALL if each not in RELICS} == {
            number: _wire_name(str(getattr(each, "name", ""))) for number, each in INDEX_MAPPING.items()
        }

    @pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.NAME)
    def test_arguments_that_are_cut_are_refused(self, kind: type[Method]) -> None:
        raw = encode_method(kind())

        for end in range(4, len(raw)):
            with pytest.raises(Malformed):
                decode_method(raw, 0, end)
        with pytest.raises(Malformed, match="behind"):
            decode_method(raw + b"\x00")

    @pytest.mark.parametrize(("raw", "code"), [(b"", 502), (b"\x00\x3c\x00", 502), (b"\x00\x3c\x00\x63", 503)])
    def test_a_number_that_is_no_methods_is_refused(self, raw: bytes, code: int) -> None:
        with pytest.raises(Malformed) as caught:
            decode_method(raw)

        assert caught.value.code == code

    def test_bits_share_an_octet_the_first_lowest(self) -> None:
        declare = methods.QueueDeclare(0, "q", passive=False, durable=True, nowait=True)

        raw = encode_method(declare)

        assert raw == b"\x00\x32\x00\x0a\x00\x00\x01q\x12\x00\x00\x00\x00"

    def test_a_name_that_is_too_long_is_not_written(self) -> None:
        with pytest.raises(InvalidArgument):
            encode_method(methods.BasicConsumeOk("x" * 256))


class TestContent:
    @pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 10_000])
    def test_a_body_is_split_into_frames_of_the_agreed_size(self, size: int) -> None:
        body = bytes(range(256)) * 40
        deliver = methods.BasicDeliver("tag", 7, True, "ex", "key")

        raw = codec.content_frames(5, deliver, PROPERTIES, body[:size], 4096)

        frames = [each for _, each in read_by_pamqp(raw)]
        assert {channel for channel, _ in read_by_pamqp(raw)} == {5}
        assert (frames[0].name, frames[0].delivery_tag, frames[1].body_size) == ("Basic.Deliver", 7, size)
        assert b"".join(each.value for each in frames[2:]) == body[:size]
        assert all(len(each.value) == 4088 for each in frames[2:-1])

    @pytest.mark.parametrize("size", [0, 1, 4088, 4089, 10_000])
    def test_the_short_way_of_a_delivery_gives_the_same_bytes(self, size: int) -> None:
        body = bytes(size)
        deliver = methods.BasicDeliver("tag", 7, True, "ex", "key")

        raw = codec.deliver_frames(5, codec.deliver_prefix("tag"), 7, True, "ex", "key", PROPERTIES, body, 4096)

        assert raw == codec.content_frames(5, deliver, PROPERTIES, body, 4096)

    def test_the_short_way_of_settling_gives_the_same_bytes(self) -> None:
        ack = codec.method_frame(2, methods.BasicAck(9, True))
        nack = codec.method_frame(2, methods.BasicNack(9, False))

        assert codec.settled_frame(2, 9, multiple=True) == ack
        assert codec.settled_frame(2, 9, multiple=False, taken=False) == nack

    def test_a_heartbeat_is_a_frame(self) -> None:
        assert codec.frame(codec.HEARTBEAT, 0, b"") == codec.HEARTBEAT_FRAME


def _wire_name(name: str) -> str:
    """Basic.GetOk -> basic.get-ok."""
    folder, last = name.split(".")
    return f"{folder.lower()}." + "".join(f"-{each.lower()}" if each.isupper() else each for each in last).lstrip("-")


def test_defaults_are_what_nothing_was_said_of() -> None:
    assert all(not any(structs.astuple(kind())) for kind in ALL)
