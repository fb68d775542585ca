"""The digests by which SQS's clients check what arrived, and the size that counts against the limits.

Pure. Spec: Amazon SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from isthmus.protocols.sqs.shapes import AttributeValue

_TEXT: Final = b"\x01"
_BINARY: Final = b"\x02"


def value_of(attribute: AttributeValue) -> bytes:
    """The bytes of an attribute's value, whatever its type."""
    if attribute.binary_value is not None:
        return attribute.binary_value
    return (attribute.string_value or "").encode()


def md5(data: bytes) -> str:
    """Of a body."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_of(attributes: Mapping[str, AttributeValue]) -> str | None:
    """Of attributes; None for none, as the answer then has no such member."""
    if not attributes:
        return None
    found = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        kind = attribute.data_type
        found.update(_sized(name.encode()) + _sized(kind.encode()))
        found.update((_BINARY if kind.startswith("Binary") else _TEXT) + _sized(value_of(attribute)))
    return found.hexdigest()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def size_of(body: str, attributes: Mapping[str, AttributeValue]) -> int:
    """Bytes that count against the limits: the body's, and of each attribute name, type and value."""
    each = (len(name.encode()) + len(one.data_type.encode()) + len(value_of(one)) for name, one in attributes.items())
    return len(body.encode()) + sum(each)
