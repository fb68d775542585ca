"""A message of SQS and the record that it is: what is checked on the way in, what is shown on the way out.

Pure. Attributes are headers of the same name, so that other protocols see them; types that are not "String" stand in
one header more.

======================  ====================================================
header                  content
======================  ====================================================
(name of an attribute)  its value, text as UTF-8
`sqs-types`             MessagePack map: name to type, of those not "String"
`sqs-trace`             the system attribute AWSTraceHeader
`sqs-sender`            who sent it
`isthmus-dedup`         the id of de-duplication, of FIFO queues
======================  ====================================================
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from isthmus.errors import RequestError
from isthmus.log.headers import decode_headers, encode_headers
from isthmus.protocols.sqs.attributes import MESSAGE_BYTES_MAX
from isthmus.protocols.sqs.digests import size_of, value_of
from isthmus.protocols.sqs.errors import batch, invalid, invalid_value, missing
from isthmus.protocols.sqs.shapes import Attributes, AttributeValue, SendEntry, SendMessage
from isthmus.record import StoredRecord

TYPES: Final = "sqs-types"
TRACE: Final = "sqs-trace"
SENDER: Final = "sqs-sender"
OURS: Final = ("sqs-", "isthmus-", "amqp-")
"""What the names of headers begin with that are no attributes."""

TRACE_ATTRIBUTE: Final = "AWSTraceHeader"
ATTRIBUTES_MAX: Final = 10
BATCH_MAX: Final = 10

_ATTRIBUTE_NAME: Final = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,256}(?<!\.)\Z")
_TYPE: Final = re.compile(r"(String|Number|Binary)(\.[^\0]{1,249})?\Z")
_GROUP: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\[\\\]^_`{|}~-]{1,128}\Z")
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_types: Final = msgspec.msgpack.Decoder(dict[str, str])


# ---- the way in ---------------------------------------------------------------------------------------------------


def check(message: SendMessage | SendEntry, *, limit: int) -> int:
    """Hold body and attributes against the rules; the size that counts.

    Raises:
        AwsError: it cannot be sent.
    """
    if not message.message_body:
        raise missing("MessageBody")
    if _NOT_XML.search(message.message_body):
        raise invalid(
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to "
            "#xFFFD | #x10000 to #x10FFFF"
        )
    if len(message.message_attributes) > ATTRIBUTES_MAX:
        raise invalid(
            f"Number of message attributes [{len(message.message_attributes)}] exceeds the allowed maximum [10]."
        )
    for name, attribute in message.message_attributes.items():
        _check_attribute(name, attribute)
    for name in message.message_system_attributes:
        if name != TRACE_ATTRIBUTE:
            raise invalid(f"Message system attribute name '{name}' is invalid.")
    size = size_of(message.message_body, message.message_attributes)
    if size > limit:
        raise invalid(f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.")
    if message.message_group_id is not None and not _GROUP.match(message.message_group_id):
        raise _bad_id(message.message_group_id, "MessageGroupId")
    if message.message_deduplication_id is not None and not _GROUP.match(message.message_deduplication_id):
        raise _bad_id(message.message_deduplication_id, "MessageDeduplicationId")
    return size


def _bad_id(value: str, parameter: str) -> Exception:
    reason = f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    return invalid_value(value[:129], parameter, reason)


def _check_attribute(name: str, attribute: AttributeValue) -> None:
    if not _ATTRIBUTE_NAME.match(name) or name.lower().startswith(("aws.", "amazon.")):
        raise invalid(f"Message (user) attribute name '{name[:256]}' is invalid.")
    if name.lower().startswith(OURS):
        raise invalid(f"Message (user) attribute name '{name}' begins with a prefix that is reserved here.")
    if not _TYPE.match(attribute.data_type):
        raise invalid(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes "
            "is Binary, Number, and String."
        )
    if not value_of(attribute):
        kind = attribute.data_type.partition(".")[0]
        raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.")
    field = "Binary" if attribute.data_type.startswith("Binary") else "String"
    if (attribute.binary_value is not None) != (field == "Binary"):
        raise invalid(f"The message attribute '{name}' with type '{attribute.data_type}' must use field '{field}'.")
    if attribute.data_type.startswith("Number"):
        _check_number(name, attribute.string_value or "")


def _check_number(name: str, value: str) -> None:
    try:
        float(value)
    except ValueError as error:
        raise invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.") from error


def headers_of(message: SendMessage | SendEntry, sender: str, extra: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The header block of a message; `extra` are the queue's own headers."""
    rows: list[tuple[str, bytes | None]] = []
    types = {}
    for name, attribute in message.message_attributes.items():
        rows.append((name, value_of(attribute)))
        if attribute.data_type != "String":
            types[name] = attribute.data_type
    if types:
        rows.append((TYPES, msgspec.msgpack.encode(types)))
    trace = message.message_system_attributes.get(TRACE_ATTRIBUTE)
    if trace is not None:
        rows.append((TRACE, value_of(trace)))
    return encode_headers([*rows, (SENDER, sender.encode()), *extra])


def dedup_of(message: SendMessage | SendEntry, *, by_content: bool, by_group: bool) -> str | None:
    """The id by which a FIFO queue knows the message again; None when nothing gives one."""
    found = message.message_deduplication_id
    if found is None and by_content:
        found = hashlib.sha256((message.message_body or "").encode()).hexdigest()
    if found is not None and by_group:
        return f"{message.message_group_id} {found}"  # a space is in neither
    return found


# ---- the way out --------------------------------------------------------------------------------------------------


def message_id(topic: bytes, partition: int, offset: int) -> str:
    """The id of the message at a place: always the same, so that a duplicate is told the id of the first.

    Args:
        topic: its UUID.
        partition: index in the topic.
        offset: in the partition.
    """
    place = topic + partition.to_bytes(4, "big") + offset.to_bytes(8, "big")
    found = bytearray(hashlib.blake2b(place, digest_size=16).digest())
    found[6], found[8] = 0x40 | found[6] & 0x0F, 0x80 | found[8] & 0x3F  # the form of a random UUID
    text = found.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def sequence_number(offset: int) -> str:
    """Of a message in a FIFO queue: 20 digits that rise."""
    return f"{10**19 + offset}"


def body_of(record: StoredRecord) -> str:
    """The body; of a record that another protocol wrote, what of its bytes is text."""
    return (record.value or b"").decode(errors="replace")


def headers_in(record: StoredRecord) -> dict[str, bytes]:
    """The headers of a record by name; a block that cannot be read holds none."""
    try:
        return {name: value or b"" for name, value in decode_headers(record.headers)}
    except RequestError:
        return {}


def attributes_of(headers: Mapping[str, bytes], wanted: Iterable[str]) -> Attributes:
    """The attributes among headers, as far as they are wanted: by name, by `prefix.*`, or all."""
    names, prefixes = set(), []
    for each in wanted:
        if each in {"All", ".*"}:
            prefixes.append("")
        elif each.endswith(".*"):
            prefixes.append(each[:-2])
        else:
            names.add(each)
    chosen = [
        name
        for name in headers
        if (name in names or name.startswith(tuple(prefixes))) and not name.startswith(OURS) and headers[name]
    ]
    types = _types_of(headers) if chosen else {}
    return {name: _attribute(headers[name], types.get(name)) for name in chosen}


def _types_of(headers: Mapping[str, bytes]) -> dict[str, str]:
    try:
        return _types.decode(headers[TYPES]) if TYPES in headers else {}
    except msgspec.DecodeError:
        return {}


def _attribute(value: bytes, kind: str | None) -> AttributeValue:
    if kind is not None and kind.startswith("Binary"):
        return AttributeValue(data_type=kind, binary_value=value)
    try:
        return AttributeValue(data_type=kind or "String", string_value=value.decode())
    except UnicodeDecodeError:
        return AttributeValue(data_type="Binary", binary_value=value)


def check_batch(ids: list[str], sizes: int) -> None:
    """Hold a batch as a whole against the rules.

    Raises:
        AwsError: nothing of it is done.
    """
    if not ids:
        raise batch("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(ids) > BATCH_MAX:
        raise batch(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_MAX}. You have sent {len(ids)}.",
        )
    if len(set(ids)) != len(ids):
        twice = next(each for at, each in enumerate(ids) if each in ids[:at])
        raise batch("BatchEntryIdsNotDistinct", f"Id {twice} repeated.")
    for each in ids:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", each):
            raise batch(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
    if sizes > MESSAGE_BYTES_MAX:
        raise batch(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {sizes} bytes.",
        )
