"""Headers, versions, and bytes as clients have sent them."""

import pytest

from isthmus.limits import KAFKA_TOLD_CHARS_MAX
from isthmus.protocols.kafka import codec, messages
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.compiled import MalformedMessage

API_VERSIONS_3 = bytes.fromhex("0012 0003 00000001 0007 72646b61666b61 00 0b 6c696272646b61666b61 07 322e31362e31 00")
"""What librdkafka begins with."""


def test_a_request_of_librdkafka_is_read() -> None:
    header = codec.decode_header(API_VERSIONS_3)

    asked = codec.decode_request(header.api_key, header.api_version, API_VERSIONS_3, header.body_at)

    assert header == RequestHeader(18, 3, 1, "rdkafka", 18)
    assert asked == messages.ApiVersionsRequest("librdkafka", "2.16.1")


@pytest.mark.parametrize(("key", "version"), [(18, 0), (18, 3), (0, 8), (0, 9), (3, 12)])
def test_a_header_is_read_as_it_was_written(key: int, version: int) -> None:
    for client in ("naïve", "", None):
        data = codec.encode_header(RequestHeader(key, version, 7, client, 0))

        assert codec.decode_header(data + b"body") == RequestHeader(key, version, 7, client, len(data))


def test_the_answer_about_versions_has_a_header_that_everybody_can_read() -> None:
    assert codec.response_header(18, 3, 7) == b"\x00\x00\x00\x07"
    assert codec.response_header(3, 9, 7) == b"\x00\x00\x00\x07\x00"
    assert codec.response_header(3, 8, 7) == b"\x00\x00\x00\x07"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\x12\x00\x03",
        b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x09ab",
        API_VERSIONS_3[:17],
        API_VERSIONS_3[:17] + b"\x01",
    ],
)
def test_what_is_no_header_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_header(frame)


@pytest.mark.parametrize(("key", "version"), [(4_711, 0), (-1, 0), (3, 99), (3, -1), (0, 2)])
def test_an_unknown_api_or_version_is_named(key: int, version: int) -> None:
    with pytest.raises(codec.UnsupportedVersion, match=f"version {version} of"):
        codec.decode_request(key, version, b"")


def test_bytes_that_are_left_over_are_passed_over_in_a_request_alone() -> None:
    data = codec.encode_request(12, 0, messages.HeartbeatRequest("g", 1, "m"))

    assert codec.decode_request(12, 0, data + b"\x00") == messages.HeartbeatRequest("g", 1, "m")
    with pytest.raises(MalformedMessage, match="1 bytes too many"):
        codec.decode_response(12, 0, b"\x00\x00\x00")


def test_batches_are_sent_in_pieces_that_are_never_joined() -> None:
    pieces = (b"a" * 100, b"b" * 50)
    partition = messages.FetchResponseResponsePartition(records=pieces)
    answer = messages.FetchResponse(responses=(messages.FetchResponseResponse("t", partitions=(partition,)),))

    parts = codec.encode_response_parts(1, 11, answer)

    assert all(any(part is piece for part in parts) for piece in pieces)
    read = codec.decode_response(1, 11, b"".join(parts))
    assert read.responses[0].partitions[0].records == b"".join(pieces)
    assert codec.encode_response(1, 11, answer) == b"".join(parts)


def test_the_text_of_an_error_is_cut_so_that_it_fits_whatever_was_sent() -> None:
    row = messages.CreateTopicsResponseTopic(name="t", error_code=17, error_message="ü" * 100_000)

    data = codec.encode_response(19, 4, messages.CreateTopicsResponse(topics=(row,)))

    (read,) = codec.decode_response(19, 4, data).topics
    assert read.error_message == "ü" * KAFKA_TOLD_CHARS_MAX
