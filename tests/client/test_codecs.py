"""The registry of codecs, and JSON."""

import sys

import msgspec
import pytest

from isthmus.client.codecs import codec
from isthmus.client.event import Event, Notification
from isthmus.errors import DeclarationError, InvalidArgument, Unsupported


class Placed(Notification):
    order_id: str


class Unclear(Notification):
    what: set[int] | list[int]


class Node(msgspec.Struct):
    value: complex
    following: "Node | None" = None


class Tree(Notification):
    children: tuple["Tree", ...]


class Foreign(Notification):
    nodes: dict[str, list[Node]]


def test_a_codec_is_made_once() -> None:
    assert codec("json") is codec("json")


def test_json_goes_there_and_back() -> None:
    json = codec("json")
    event = Placed(order_id="o-1")

    assert json.decoder(Placed)(json.encoder(Placed)(event)) == event
    assert (json.name, json.content_type) == ("json", "application/json")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (Unclear, "event Unclear has a field that JSON cannot carry"),
        (Foreign, "Foreign .* complex is no type that msgspec"),
    ],
)
def test_a_field_that_json_cannot_carry_is_refused_when_it_is_declared(declared: type[Event], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        codec("json").encoder(declared)


def test_a_struct_that_contains_itself_is_fine() -> None:
    json = codec("json")
    event = Tree(children=(Tree(children=()),))

    assert json.decoder(Tree)(json.encoder(Tree)(event)) == event


def test_an_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="codec: 'xml' is none of json, protobuf, avro"):
        codec("xml")


def test_avro_is_refused_until_it_is_there() -> None:
    with pytest.raises(Unsupported, match='codec "avro" comes in a later version; use "json" or "protobuf"'):
        codec("avro")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.client.codecs._made", {})
    monkeypatch.delitem(sys.modules, "isthmus.client.protobuf", raising=False)
    monkeypatch.setitem(sys.modules, "google.protobuf.descriptor", None)

    with pytest.raises(Unsupported, match=r"pip install 'isthmus\[protobuf\]'"):
        codec("protobuf")
