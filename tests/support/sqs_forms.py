"""SQS's older protocol as a client speaks it: inputs by AWS's names become forms, and XML becomes outputs again."""

import base64
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from isthmus.protocols.http.messages import Request, Response
from isthmus.protocols.sqs import query
from isthmus.protocols.sqs.query import ONE

KEYED = ("Tag",)


def request_of(action: str, given: dict[str, Any]) -> Request:
    """A request of an action."""
    rows = [("Action", action), ("Version", "2012-11-05"), *_members(action, "", given)]
    return Request(
        method="POST",
        target="/",
        path="/",
        query="",
        host="localhost:9324",
        headers=(("content-type", query.FORM),),
        body=urllib.parse.urlencode(rows).encode(),
        minor=1,
        keep_alive=True,
    )


def _members(action: str, before: str, given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        one = before + (f"{action}RequestEntry" if name == "Entries" else ONE.get(name, name))
        if isinstance(value, dict):
            names = ("Key", "Value") if one in KEYED else ("Name", "Value")
            for at, (key, held) in enumerate(value.items(), 1):
                yield f"{one}.{at}.{names[0]}", key
                yield from _value(action, f"{one}.{at}.{names[1]}", held)
        elif isinstance(value, list):
            for at, held in enumerate(value, 1):
                yield from _value(action, f"{one}.{at}", held)
        else:
            yield from _value(action, one, value)


def _value(action: str, name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from _members(action, f"{name}.", value)
    elif isinstance(value, bytes):
        yield name, base64.b64encode(value).decode()
    else:
        yield name, str(value)


def output_of(action: str, answer: Response, shape: type[Struct] | None) -> Any:  # noqa: ANN401 - by AWS's names
    """What an answer says, in the form that the JSON protocol would give it; None when it has no result."""
    text = answer.body.decode().replace(f' xmlns="{query.SPACE}"', "")
    root = ET.fromstring(text)  # noqa: S314 - our own
    assert root.tag == f"{action}Response"
    result = root.find(f"{action}Result")
    if shape is None:
        assert result is None
        return None
    assert result is not None
    found = msgspec.convert(_read(action, result, msgspec.inspect.type_info(shape)), shape, strict=False)
    return msgspec.to_builtins(found)


def _read(action: str, node: ET.Element, info: Any) -> Any:  # noqa: ANN401 - as the shape is
    if not isinstance(info, msgspec.inspect.StructType):
        return node.text or ""
    found: dict[str, Any] = {}
    for field in info.fields:
        name, kind = field.encode_name, field.type
        one = f"{action}ResultEntry" if name == "Successful" else ONE.get(name, name)
        rows = node.findall(one)
        if isinstance(kind, msgspec.inspect.UnionType):
            kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        if isinstance(kind, msgspec.inspect.ListType):
            found[name] = [_read(action, row, kind.item_type) for row in rows]
        elif isinstance(kind, msgspec.inspect.DictType):
            found[name] = dict(_row(action, row, one, kind.value_type) for row in rows)
        elif rows:
            found[name] = _read(action, rows[0], kind)
    return found


def _row(action: str, row: ET.Element, one: str, kind: Any) -> tuple[str, Any]:  # noqa: ANN401 - as the shape is
    value = row.find("Value")
    assert value is not None
    return row.findtext("Key" if one in KEYED else "Name", ""), _read(action, value, kind)
