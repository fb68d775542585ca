"""What is served: ApiVersions, and its answer to versions that are not known, which is the one that must never fail."""

import pytest

from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers import versions
from isthmus.protocols.kafka.handlers.service import KEYS
from isthmus.protocols.kafka.schema import requests
from support.kafka import kafka_server
from support.kafka_requests import API_VERSIONS

OLD_FEATURES = {18: (0, 0), 10: (0, 0), 11: (0, 0), 14: (0, 0), 12: (0, 0), 13: (0, 0), 9: (1, 1), 2: (1, 1), 0: (3, 7)}
"""Versions that librdkafka up to 2.11 looks for, to switch whole features on; and Produce 0 for compression."""


@pytest.mark.parametrize("version", range(5))
async def test_every_version_tells_all_that_is_served(version: int) -> None:
    asked = m.ApiVersionsRequest("test", "1.0") if version >= 3 else m.ApiVersionsRequest()
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(API_VERSIONS, version, asked)

        assert answer.error_code == Code.NONE
        assert [row.api_key for row in answer.api_keys] == list(KEYS)
        assert {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 22, 32, 36, 60} <= set(KEYS)


def test_what_is_shown_is_what_is_taken_with_one_exception() -> None:
    shown = {row.api_key: (row.min_version, row.max_version) for row in versions.rows(KEYS)}

    assert shown.pop(0) == (0, 13)
    assert shown == {key: versions.served(key) for key in shown}
    for key, (first, last) in shown.items():
        known = requests()[key].versions
        assert known[0] <= first <= last <= known[1]


def test_old_librdkafka_finds_the_versions_by_which_it_knows_features() -> None:
    shown = {row.api_key: (row.min_version, row.max_version) for row in versions.rows(KEYS)}

    for key, (first, last) in {**OLD_FEATURES, 1: (4, 10), 8: (2, 2), 22: (0, 0), 17: (0, 1), 36: (0, 1)}.items():
        assert shown[key][0] <= first, key
        assert last <= shown[key][1], key
    assert shown[0][0] == 0


@pytest.mark.parametrize("version", [5, 99, 32_767, -1, -32_768])
async def test_a_version_that_is_not_known_is_answered_in_the_oldest_layout(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        peer.send(
            API_VERSIONS.to_bytes(2) + version.to_bytes(2, signed=True) + b"\x00\x00\x00\x07\x00\x01c" + b"\xff" * 9
        )

        frame = await peer.frame()

        assert frame[:4] == b"\x00\x00\x00\x07"
        answer = codec.decode_response(API_VERSIONS, 0, frame, 4)
        assert answer.error_code == Code.UNSUPPORTED_VERSION
        assert {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}[18] == (0, 4)
        assert (await peer.ask(API_VERSIONS, 4, m.ApiVersionsRequest("test", "1"))).error_code == Code.NONE


@pytest.mark.parametrize(
    ("name", "version"), [("", "1"), ("a b", "1"), ("a", "-"), ("a", "1."), ("ä", "1"), ("a\n", "1")]
)
async def test_software_whose_name_could_not_be_told_is_refused(name: str, version: str) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(API_VERSIONS, 3, m.ApiVersionsRequest(name, version))

        assert answer.error_code == Code.INVALID_REQUEST
        assert (await peer.ask(API_VERSIONS, 0, m.ApiVersionsRequest())).error_code == Code.NONE


async def test_the_header_of_the_answer_is_never_flexible() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        head = codec.encode_header(RequestHeader(API_VERSIONS, 4, 1, "c", 0))
        peer.send(head + codec.encode_request(API_VERSIONS, 4, m.ApiVersionsRequest("test", "1")))

        frame = await peer.frame()

        assert codec.decode_response(API_VERSIONS, 4, frame, 4).error_code == Code.NONE
