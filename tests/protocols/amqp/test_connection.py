"""The state of a connection: what comes out of bytes however they are cut, and what breaks which rule."""

import random
from collections.abc import Iterable

import pytest

from isthmus.limits import AMQP_ACKS_MAX, AMQP_ASSEMBLY_BYTES_MAX, AMQP_CHANNELS_MAX, MIB
from isthmus.protocols.amqp import codec
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Acked, Brought, Called, Connection, Event, Hello, Published, Violation
from isthmus.protocols.amqp.properties import NONE, Properties, encode_properties

GREETING = codec.PROTOCOL_HEADERS[0]
PROPERTIES = encode_properties(Properties(delivery_mode=2, headers={"k": [1, "two"]}))
PUBLISH = m.BasicPublish(0, "ex", "key", mandatory=True)


def opened(*channels: int) -> Connection:
    """A connection in a virtual host with these channels."""
    connection = Connection()
    connection.receive_data(GREETING)
    connection.open()
    connection.receive_data(b"".join(codec.method_frame(each, m.ChannelOpen()) for each in channels))
    assert events(connection) == [Hello(accepted=True), *(Called(each, m.ChannelOpen()) for each in channels)]
    return connection


def events(connection: Connection, *pieces: bytes) -> list[Event]:
    """All that comes of these bytes."""
    found: list[Event] = []
    for piece in pieces or (b"",):
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            found.append(event)
    return found


def publish(channel: int, body: bytes, frame_bytes_max: int = 4096) -> bytes:
    return codec.content_frames(channel, PUBLISH, PROPERTIES, body, frame_bytes_max)


def published(channel: int, body: bytes) -> Published:
    return Published(channel, "ex", "key", True, False, PROPERTIES, body)


def method(channel: int, each: m.Method) -> bytes:
    return codec.method_frame(channel, each)


def header(channel: int, size: int, class_id: int = 60, raw: bytes = NONE) -> bytes:
    return codec.frame(codec.HEADER, channel, codec.CONTENT_HEAD.pack(class_id, 0, size) + raw)


def body(channel: int, data: bytes) -> bytes:
    return codec.frame(codec.BODY, channel, data)


def one(found: Iterable[Event]) -> Violation:
    """The only event, which is a violation."""
    (violation,) = found
    assert isinstance(violation, Violation)
    assert violation.text.startswith(f"{violation.name} - ")
    return violation


SESSION = (
    method(1, m.ChannelOpen())
    + method(2, m.ChannelOpen())
    + codec.HEARTBEAT_FRAME
    + method(1, m.QueueDeclare(0, "q", durable=True, arguments={"x-max-length": 5}))
    + publish(1, b"")
    + publish(1, b"short")
    + publish(2, b"long" * 300, 100)
    + codec.HEARTBEAT_FRAME
    + method(1, m.BasicAck(3, multiple=True))
    + method(1, m.BasicNack(4, multiple=False, requeue=True))
    + method(1, m.BasicReject(5, requeue=True))
    + method(2, m.ChannelClose(200, "bye"))
    + method(0, m.ConnectionClose(200, "bye"))
)
WHAT_COMES = [
    Hello(accepted=True),
    Called(1, m.ChannelOpen()),
    Called(2, m.ChannelOpen()),
    Called(1, m.QueueDeclare(0, "q", durable=True, arguments={"x-max-length": 5})),
    published(1, b""),
    published(1, b"short"),
    published(2, b"long" * 300),
    Called(1, m.BasicAck(3, multiple=True)),
    Called(1, m.BasicNack(4, multiple=False, requeue=True)),
    Called(1, m.BasicReject(5, requeue=True)),
    Called(2, m.ChannelClose(200, "bye")),
    Called(0, m.ConnectionClose(200, "bye")),
]


def acks(channel: int, *tags: int) -> bytes:
    return b"".join(method(channel, m.BasicAck(tag)) for tag in tags)


class TestAcknowledgements:
    def test_those_one_behind_the_other_are_read_at_once(self) -> None:
        assert events(opened(1), acks(1, 7, 3, 1 << 40)) == [Acked(1, [7, 3, 1 << 40])]

    def test_anything_else_in_between_parts_them(self) -> None:
        raw = acks(1, 1, 2) + method(1, m.BasicAck(4, multiple=True)) + acks(1, 5) + acks(2, 1, 2) + acks(1, 6, 7)

        assert events(opened(1, 2), raw) == [
            Acked(1, [1, 2]),
            Called(1, m.BasicAck(4, multiple=True)),
            Called(1, m.BasicAck(5)),
            Acked(2, [1, 2]),
            Acked(1, [6, 7]),
        ]

    def test_no_more_than_a_slice_has_time_for_are_read_at_once(self) -> None:
        found = events(opened(1), acks(1, *range(1, 2 * AMQP_ACKS_MAX + 2)))

        assert [len(event.tags) for event in found if isinstance(event, Acked)] == [AMQP_ACKS_MAX] * 2
        assert found[-1] == Called(1, m.BasicAck(2 * AMQP_ACKS_MAX + 1))

    def test_however_they_are_cut_the_tags_are_the_same(self) -> None:
        raw = acks(1, *range(1, 8))

        for cut in range(len(raw)):
            tags: list[int] = []
            for event in events(opened(1), raw[:cut], raw[cut:]):
                if isinstance(event, Acked):
                    tags += event.tags
                else:
                    assert isinstance(event, Called)
                    assert isinstance(event.method, m.BasicAck)
                    tags.append(event.method.delivery_tag)
            assert tags == list(range(1, 8))

    def test_a_wrong_end_behind_some_is_found_after_them(self) -> None:
        first, second = events(opened(1), acks(1, 1, 2, 3)[:-1] + b"\x00")

        assert first == Acked(1, [1, 2])
        assert one([second]).code == 501


class TestBytesInPieces:
    def test_a_session_is_the_same_wherever_it_is_cut(self) -> None:
        whole = GREETING + SESSION

        for cut in range(len(whole)):
            connection = Connection()
            connection.open()
            assert events(connection, whole[:cut], whole[cut:]) == WHAT_COMES
            assert connection.buffered_bytes == 0

    @pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100, 4096])
    def test_a_session_is_the_same_in_small_pieces(self, size: int) -> None:
        connection = Connection()
        connection.open()
        whole = GREETING + SESSION

        assert events(connection, *(whole[at : at + size] for at in range(0, len(whole), size))) == WHAT_COMES

    def test_pieces_are_kept_until_they_are_asked_for(self) -> None:
        connection = Connection()
        connection.open()

        for each in GREETING + SESSION:
            connection.receive_data(bytes([each]))

        assert connection.buffered_bytes == len(GREETING + SESSION)
        assert events(connection) == WHAT_COMES

    def test_what_a_frame_needs_is_known_from_its_head(self) -> None:
        connection = opened(1)
        frame = method(1, m.QueueDeclare(0, "name"))

        connection.receive_data(frame[:6])
        assert (connection.next_event(), connection.wanted_bytes) == (None, 0)
        connection.receive_data(frame[6:8])
        assert (connection.next_event(), connection.wanted_bytes) == (None, len(frame))
        assert connection.buffered_bytes == 8

    def test_messages_of_several_channels_come_mixed(self) -> None:
        connection = opened(1, 2, 3)
        bodies = {channel: bytes([channel]) * 5_000 for channel in (1, 2, 3)}
        streams = {
            channel: [method(channel, PUBLISH), header(channel, 5_000, raw=PROPERTIES)]
            + [body(channel, bodies[channel][at : at + 50]) for at in range(0, 5_000, 50)]
            for channel in (1, 2, 3)
        }
        rng = random.Random(1)
        mixed = b""
        while streams:
            channel = rng.choice(list(streams))
            mixed += streams[channel].pop(0)
            if not streams[channel]:
                del streams[channel]

        found = events(connection, mixed)

        assert sorted(found, key=lambda each: each.channel if isinstance(each, Published) else 0) == [
            published(channel, bodies[channel]) for channel in (1, 2, 3)
        ]
        assert connection.buffered_bytes == 0

    def test_an_unfinished_message_counts_among_what_is_held(self) -> None:
        connection = opened(1)

        assert events(connection, method(1, PUBLISH) + header(1, 100) + body(1, b"x" * 60)) == []

        assert connection.buffered_bytes == 60
        connection.close_channel(1)
        assert connection.buffered_bytes == 0

    def test_between_the_frames_of_a_message_more_is_wanted_than_is_held(self) -> None:
        connection = opened(1)
        stream = method(1, PUBLISH) + header(1, 200_000) + 20 * body(1, b"x" * 4_000)

        for at in range(0, len(stream), 4_001):
            events(connection, stream[at : at + 4_001])
            assert connection.wanted_bytes > connection.buffered_bytes

    def test_the_other_side_reads_what_a_server_sends(self) -> None:
        connection = Connection(from_client=False)
        deliver = m.BasicDeliver("tag", 7, redelivered=True, exchange="ex", routing_key="k")
        raw = codec.deliver_frames(1, codec.deliver_prefix("tag"), 7, True, "ex", "k", PROPERTIES, b"x" * 9_000, 4096)

        found = events(
            connection, method(0, m.ConnectionStart(0, 9)), method(1, m.ChannelOpenOk()), raw, method(1, m.BasicAck(1))
        )

        assert found == [
            Called(0, m.ConnectionStart(0, 9)),
            Called(1, m.ChannelOpenOk()),
            Brought(1, deliver, PROPERTIES, b"x" * 9_000),
            Called(1, m.BasicAck(1)),
        ]


class TestGreeting:
    @pytest.mark.parametrize("header", codec.PROTOCOL_HEADERS)
    def test_both_headers_of_the_version_are_taken(self, header: bytes) -> None:
        assert events(Connection(), *(bytes([each]) for each in header)) == [Hello(accepted=True)]

    @pytest.mark.parametrize(
        "said", [b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x00\x08\x00", b"GET / HTTP/1.1", b"\x16\x03\x01", b"AMQX"]
    )
    def test_anything_else_is_not_accepted_and_nothing_behind_it_is_read(self, said: bytes) -> None:
        connection = Connection()

        assert events(connection, said, GREETING) == [Hello(accepted=False)]
        assert connection.is_lost
        assert connection.buffered_bytes == 0


class TestFrames:
    def test_a_frame_may_be_eight_bytes_longer_than_agreed_and_no_more(self) -> None:
        fits, long = opened(1), opened(1)
        fits.frame_bytes_max = long.frame_bytes_max = 4096
        start = method(1, PUBLISH) + header(1, 10_000)

        assert events(fits, start + body(1, bytes(4096))) == []
        violation = one(events(long, start + body(1, bytes(4097))))

        assert (violation.code, violation.channel) == (501, 0)
        assert long.is_lost

    def test_a_frame_that_is_too_long_is_refused_by_its_head(self) -> None:
        connection = opened(1)

        violation = one(events(connection, b"\x01\x00\x01\xff\xff\xff\xff\x00"))

        assert violation.code == 501
        assert connection.buffered_bytes == 0

    @pytest.mark.parametrize(
        "raw",
        [
            method(1, m.BasicAck(1))[:-1] + b"\x00",
            publish(1, b"x")[:-1] + b"\x00",
            header(1, 0)[:-1] + b"\xcf",
            codec.frame(4, 1, b""),
            codec.frame(0, 0, b""),
        ],
    )
    def test_frames_that_are_none_lose_the_connection(self, raw: bytes) -> None:
        connection = opened(1)

        assert one(events(connection, raw, raw)).code == 501
        assert connection.is_lost

    def test_when_frames_cannot_be_told_apart_only_the_answer_to_the_close_is_seen(self) -> None:
        connection = opened(1)
        one(events(connection, codec.frame(4, 1, b"")))
        answer = method(0, m.ConnectionCloseOk())

        found = events(connection, publish(1, b"x" * 500) + answer[:5], answer[5:] + publish(1, b"y"), answer)

        assert found == [Called(0, m.ConnectionCloseOk())] * 2
        assert connection.buffered_bytes == 0

    @pytest.mark.parametrize(
        ("raw", "code"),
        [(codec.frame(codec.HEARTBEAT, 1, b""), 505), (codec.frame(codec.HEARTBEAT, 0, b"x"), 501)],
    )
    def test_a_heartbeat_is_empty_and_on_channel_0(self, raw: bytes, code: int) -> None:
        assert one(events(opened(1), raw)).code == code


class TestMethods:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (method(0, m.ChannelOpen()), 503),
            (method(0, m.BasicAck(1)), 503),
            (method(1, m.ConnectionClose()), 503),
            (method(2, m.BasicAck(1)), 504),
            (method(2, PUBLISH), 504),
            (method(1, m.ChannelOpen()), 504),
            (method(AMQP_CHANNELS_MAX + 1, m.ChannelOpen()), 504),
            (method(1, m.QueueDeclareOk("q")), 503),
            (method(0, m.ConnectionTune()), 503),
            (method(1, m.BasicDeliver("t")), 503),
            (codec.frame(codec.METHOD, 1, b"\x00\x3c\x00\x63"), 503),
            (codec.frame(codec.METHOD, 1, b"\x00\x3c"), 502),
            (codec.frame(codec.METHOD, 1, b"\x00\x3c\x00\x50\x00"), 502),
            (codec.frame(codec.METHOD, 1, b"\x00\x3c\x00\x28\x00\x00\xff"), 502),
            (method(1, m.QueueDeclare(0, "q"))[:-5] + b"\x00\x00\x00\x09\xce", 502),
        ],
    )
    def test_a_method_that_may_not_be_there_closes_the_connection(self, raw: bytes, code: int) -> None:
        connection = opened(1)

        violation = one(events(connection, raw, method(1, m.BasicAck(1))))

        assert (violation.code, violation.channel) == (code, 0)
        assert events(connection, method(0, m.ConnectionCloseOk())) == [Called(0, m.ConnectionCloseOk())]

    def test_a_violation_names_the_method(self) -> None:
        violation = one(events(opened(1), codec.frame(codec.METHOD, 1, b"\x00\x3c\x00\x28\x00\x00\xff")))

        assert (violation.class_id, violation.method_id) == (60, 40)

    def test_channels_are_opened_in_a_virtual_host_only(self) -> None:
        connection = Connection()

        found = events(connection, GREETING + method(1, m.ChannelOpen()))

        assert one(found[1:]).code == 503

    def test_on_a_closing_channel_only_its_closes_are_seen(self) -> None:
        connection = opened(1, 2)
        connection.close_channel(1)

        found = events(
            connection,
            publish(1, b"x")
            + header(1, 5)
            + body(1, b"x")
            + method(1, m.BasicAck(1))
            + method(1, m.ChannelOpen())
            + method(2, m.BasicAck(2))
            + method(1, m.ChannelClose())
            + method(1, m.ChannelCloseOk())
            + method(1, m.ChannelCloseOk())
            + method(1, m.ChannelOpen())
            + method(1, m.BasicAck(1)),
        )

        assert found == [
            Called(2, m.BasicAck(2)),
            Called(1, m.ChannelClose()),
            Called(1, m.ChannelCloseOk()),
            Called(1, m.ChannelOpen()),
            Called(1, m.BasicAck(1)),
        ]

    def test_a_channel_can_be_used_again_after_its_close(self) -> None:
        connection = opened(1)

        found = events(connection, method(1, m.ChannelClose()) + method(1, m.ChannelOpen()) + method(1, m.BasicAck(1)))

        assert len(found) == 3
        assert connection.channels == [1]

    def test_a_close_of_a_channel_that_is_not_open_is_given_out_for_its_answer(self) -> None:
        assert events(opened(1), method(9, m.ChannelClose())) == [Called(9, m.ChannelClose())]

    def test_on_a_closing_connection_only_its_closes_are_seen(self) -> None:
        connection = opened(1)
        connection.close()

        found = events(
            connection,
            publish(1, b"x")
            + method(1, m.ChannelOpen())
            + codec.HEARTBEAT_FRAME
            + method(0, m.ConnectionStartOk())
            + method(0, m.ConnectionClose())
            + method(0, m.ConnectionCloseOk()),
        )

        assert found == [Called(0, m.ConnectionClose()), Called(0, m.ConnectionCloseOk())]


class TestContent:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (header(1, 0), 505),
            (body(1, b""), 505),
            (header(0, 0), 505),
            (header(2, 0), 504),
            (body(2, b"x"), 504),
            (method(1, PUBLISH) + body(1, b"x"), 505),
            (method(1, PUBLISH) + method(1, m.BasicAck(1)), 505),
            (method(1, PUBLISH) + method(1, PUBLISH), 505),
            (method(1, PUBLISH) + header(1, 5) + header(1, 5), 505),
            (method(1, PUBLISH) + header(1, 5) + method(1, m.BasicAck(1)), 505),
            (method(1, PUBLISH) + header(1, 5) + body(1, b"123456"), 501),
            (method(1, PUBLISH) + header(1, 5, class_id=50), 505),
            (method(1, PUBLISH) + codec.frame(codec.HEADER, 1, b"\x00\x3c"), 501),
            (method(1, PUBLISH) + header(1, 5, raw=b""), 502),
            (method(1, PUBLISH) + header(1, 5, raw=b"\x20\x00\xff\xff\xff\xff"), 502),
            (publish(1, b"x").replace(PROPERTIES, b"\x10\x01\x02" + bytes(len(PROPERTIES) - 3)), 502),
        ],
    )
    def test_content_that_may_not_be_there_closes_the_connection(self, raw: bytes, code: int) -> None:
        violation = one(events(opened(1), raw, header(1, 0)))

        assert (violation.code, violation.channel) == (code, 0)

    @pytest.mark.parametrize("size", [1_001, 2**64 - 1])
    def test_a_body_over_the_limit_closes_the_channel_before_any_of_it_is_kept(self, size: int) -> None:
        connection = opened(1, 2)
        connection.body_bytes_max = 1_000

        found = events(connection, method(1, PUBLISH) + header(1, size), body(1, bytes(900)), publish(2, b"x" * 1_000))

        violation = one(found[:1])
        assert (violation.code, violation.channel) == (406, 1)
        assert violation.text == (f"PRECONDITION_FAILED - message size {size} is larger than configured max size 1000")
        assert found[1:] == [published(2, b"x" * 1_000)]
        assert connection.buffered_bytes == 0

    def test_unfinished_messages_of_all_channels_together_have_a_bound(self) -> None:
        count = AMQP_ASSEMBLY_BYTES_MAX // (8 * MIB) + 1
        connection = opened(*range(1, count + 1))
        connection.frame_bytes_max = 9 * MIB
        found: list[Event] = []

        for channel in range(1, count + 1):
            found += events(connection, method(channel, PUBLISH) + header(channel, 8 * MIB + 1))
            found += events(connection, body(channel, bytes(8 * MIB)))

        assert one(found).code == 506
        assert connection.buffered_bytes == 0

    def test_many_small_pieces_of_a_body_are_joined(self) -> None:
        connection = opened(1)
        data = random.Random(2).randbytes(20_000)

        found = events(
            connection,
            method(1, PUBLISH) + header(1, 20_000, raw=PROPERTIES),
            *(body(1, b"") + body(1, data[at : at + 3]) for at in range(0, 20_000, 3)),
        )

        assert found == [published(1, data)]
