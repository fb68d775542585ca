"""What a Kafka consumer tells its group of itself, as far as a broker looks into it: the topics that it subscribes to.

The blobs of a classic group are the clients' own; nothing here may fail because one of them cannot be read.
"""

from typing import Final

from isthmus.lenses.stream.membership import MembershipView
from isthmus.limits import NAME_BYTES_MAX

PROTOCOL_TYPE: Final = "consumer"
"""What Kafka's consumers name as their group's protocol type."""


def topics_of(metadata: bytes) -> frozenset[str] | None:
    """The topics in a ConsumerProtocolSubscription of any version; None when the bytes are not one.

    ======  ====  ========================
    field   size  content
    ======  ====  ========================
    version    2  not looked at
    count      4  number of topics
    topic    2+n  length and name, repeated
    ======  ====  ========================
    """
    if len(metadata) < 6:
        return None
    count, at = int.from_bytes(metadata[2:6], signed=True), 6
    if not 0 <= count <= (len(metadata) - at) // 2:
        return None
    found = set()
    for _ in range(count):
        size = int.from_bytes(metadata[at : at + 2], signed=True)
        at += 2
        if not 0 <= size <= min(NAME_BYTES_MAX, len(metadata) - at):
            return None
        found.add(metadata[at : at + size].decode(errors="replace"))
        at += size
    return frozenset(found)


def subscribed(view: MembershipView) -> frozenset[str] | None:
    """The topics that some member of a group subscribes to; None when that cannot be told, so that any may be."""
    if not view.members:
        return frozenset()
    if view.protocol_type != PROTOCOL_TYPE:
        return None
    found: set[str] = set()
    for member in view.members:
        topics = topics_of(member.metadata)
        if topics is None:
            return None
        found |= topics
    return frozenset(found)
