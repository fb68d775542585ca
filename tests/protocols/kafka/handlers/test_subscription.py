"""What a broker reads in the blobs of consumers, and that none of them can hurt it."""

import pytest

from isthmus.lenses.stream.membership import MembershipView, MemberView, State
from isthmus.protocols.kafka.handlers.subscription import subscribed, topics_of
from support.kafka_groups import subscription


def view(*blobs: bytes, protocol_type: str = "consumer") -> MembershipView:
    members = tuple(
        MemberView(member=str(at), instance_id=None, client_id="", host="", metadata=blob, assignment=b"")
        for at, blob in enumerate(blobs)
    )
    return MembershipView(
        name="g",
        state=State.STABLE,
        generation=1,
        protocol_type=protocol_type,
        protocol="range",
        leader="0",
        members=members,
    )


@pytest.mark.parametrize("more", [b"", b"\0\0\0\0", b"what later versions say"])
@pytest.mark.parametrize("names", [(), ("orders",), ("orders", "straße")])
def test_topics_are_read_whatever_follows_them(names: tuple[str, ...], more: bytes) -> None:
    assert topics_of(subscription(*names) + more) == frozenset(names)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0\0\0\0\0",
        bytes(2) + (2**31 - 1).to_bytes(4),
        bytes(2) + b"\xff\xff\xff\xff",
        bytes(2) + (1).to_bytes(4) + b"\0",
        bytes(2) + (1).to_bytes(4) + b"\0\x05four",
        bytes(2) + (1).to_bytes(4) + b"\xff\xff",
        bytes(2) + (1).to_bytes(4) + b"\x01\x00" + b"x" * 256,
    ],
)
def test_what_is_no_subscription_is_none(blob: bytes) -> None:
    assert topics_of(blob) is None


def test_a_name_that_is_no_text_is_nobodys() -> None:
    assert topics_of(bytes(2) + (1).to_bytes(4) + b"\0\x01\xff") == frozenset({"\ufffd"})


def test_a_group_subscribes_to_what_any_member_does() -> None:
    assert subscribed(view(subscription("a", "b"), subscription("c"))) == frozenset("abc")


def test_a_group_without_members_subscribes_to_nothing() -> None:
    assert subscribed(view()) == frozenset()


def test_what_cannot_be_told_may_be_anything() -> None:
    assert subscribed(view(subscription("a"), b"?")) is None
    assert subscribed(view(subscription("a"), protocol_type="connect")) is None
