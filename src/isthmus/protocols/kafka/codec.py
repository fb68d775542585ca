"""Kafka's requests and responses between bytes and structs, for every API and version. Pure.

`decode_request` and `encode_response` are what a server needs, their opposites what clients and tests do. It knows no
operation and no state; record batches pass as bytes.

Spec: Apache Kafka protocol guide; KIP-482 (flexible versions).
"""

import struct
from typing import Any, Final

from msgspec import Struct

from isthmus.errors import ProtocolError
from isthmus.protocols.kafka.compiled import MalformedMessage, decoder, encoder, skip_tags
from isthmus.protocols.kafka.schema import Layout, api_name, requests, response_to

API_VERSIONS: Final = 18
_HEADER: Final = struct.Struct(">hhih")
_CORRELATION: Final = struct.Struct(">i")


class UnsupportedVersion(ProtocolError):
    """An API or a version of one that is not known here."""

    def __init__(self, api_key: int, version: int) -> None:
        super().__init__(f"version {version} of {api_name(api_key)} is not known")
        self.api_key, self.version = api_key, version


class RequestHeader(Struct, frozen=True):
    """What stands before each request; `body_at` is where the request itself begins in the frame."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body_at: int


# ---- headers ---------------------------------------------------------------------------------------------------------


def decode_header(frame: bytes) -> RequestHeader:
    """Read the header of a request. The client id has an old-style length in every version.

    Raises:
        UnsupportedVersion: no such API, or a version outside its layout; `decode_request` is not to be called.
        MalformedMessage: the bytes are no header.
    """
    if len(frame) < _HEADER.size:
        raise MalformedMessage(f"a request of {len(frame)} bytes is too short for a header")
    api_key, version, correlation, size = _HEADER.unpack_from(frame)
    at = _HEADER.size
    if size < -1 or at + size > len(frame):
        raise MalformedMessage(f"a client id of {size} bytes does not fit a request of {len(frame)} bytes")
    client = None
    if size >= 0:
        try:
            client = str(frame[at : at + size], "utf-8")
        except UnicodeDecodeError as error:
            raise MalformedMessage("the client id is not UTF-8") from error
        at += size
    layout = requests().get(api_key)
    if layout is not None and layout.is_flexible(version) and _known(layout, version):
        try:
            at = skip_tags(frame, at, len(frame))
        except IndexError as error:
            raise MalformedMessage("a header ends in the middle of its tagged fields") from error
    return RequestHeader(api_key, version, correlation, client, at)


def _known(layout: Layout, version: int) -> bool:
    return layout.versions[0] <= version <= layout.versions[1]


def encode_header(header: RequestHeader) -> bytes:
    """A request's header; `body_at` does not count."""
    client = None if header.client_id is None else header.client_id.encode()
    size = -1 if client is None else len(client)
    data = _HEADER.pack(header.api_key, header.api_version, header.correlation_id, size) + (client or b"")
    layout = requests()[header.api_key]
    return data + b"\x00" if layout.is_flexible(header.api_version) else data


def response_header(api_key: int, version: int, correlation_id: int) -> bytes:
    """A response's header. That of ApiVersions is never flexible, so that every client can read it (KIP-511)."""
    head = _CORRELATION.pack(correlation_id)
    if api_key != API_VERSIONS and requests()[api_key].is_flexible(version):
        return head + b"\x00"
    return head


# ---- messages --------------------------------------------------------------------------------------------------------


def decode_request(api_key: int, version: int, body: bytes, at: int = 0) -> Any:  # noqa: ANN401 - which one, the key and the version say
    """The request that begins at `at`.

    Bytes behind it are passed over, as Kafka's broker does: librdkafka sends some with Metadata 13.

    Raises:
        UnsupportedVersion: no such API or version. MalformedMessage: the bytes are no such request.
    """
    return _decode(_layout(api_key, version), version, body, at)[0]


def decode_response(api_key: int, version: int, body: bytes, at: int = 0) -> Any:  # noqa: ANN401 - see decode_request
    """The response that begins at `at`. Raises as `decode_request`."""
    layout = response_to(_layout(api_key, version))
    message, end = _decode(layout, version, body, at)
    if end != len(body):
        raise MalformedMessage(f"{layout.name} version {version} has {len(body) - end} bytes too many")
    return message


def encode_response(api_key: int, version: int, message: Struct) -> bytes:
    """A response's bytes, without its header. Raises UnsupportedVersion."""
    return b"".join(encode_response_parts(api_key, version, message))


def encode_response_parts(api_key: int, version: int, message: Struct) -> list[bytes]:
    """A response in pieces, so that the record batches in it are never copied. Raises UnsupportedVersion."""
    parts: list[bytes] = []
    encoder(response_to(_layout(api_key, version)).name, version)(message, parts)
    return parts


def encode_request(api_key: int, version: int, message: Struct) -> bytes:
    """A request's bytes, without its header. Raises UnsupportedVersion."""
    parts: list[bytes] = []
    encoder(_layout(api_key, version).name, version)(message, parts)
    return b"".join(parts)


def _layout(api_key: int, version: int) -> Layout:
    layout = requests().get(api_key)
    if layout is None or not _known(layout, version):
        raise UnsupportedVersion(api_key, version)
    return layout


def _decode(layout: Layout, version: int, data: bytes, at: int) -> tuple[Any, int]:
    try:
        return decoder(layout.name, version)(data, at, len(data))
    except (struct.error, IndexError) as error:
        raise MalformedMessage(f"{layout.name} version {version} ends in the middle of a field") from error
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{layout.name} version {version} has text that is not UTF-8") from error
    except MalformedMessage as error:
        raise MalformedMessage(f"{layout.name} version {version}: {error}") from None
