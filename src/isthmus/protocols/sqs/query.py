"""The older protocol of SQS: inputs as a form, outputs and errors as XML.

Pure. It reads and writes the same shapes as the JSON protocol, by their names and a table of what lists and maps are
called here; it knows no action.

Spec: AWS Query protocol; Amazon SQS API, version 2012-11-05.

=====================  ======================================================
member                 in a form (N from 1), and in XML
=====================  ======================================================
a text or number       `Name`
a list of texts        `<one>.N`
a map of texts         `<one>.N.Name`, `<one>.N.Value` (tags: Key and Value)
a map of values        `<one>.N.Name`, `<one>.N.Value.DataType` and so on
the entries of a batch `<action>RequestEntry.N.<member>`
=====================  ======================================================
"""

import base64
import re
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin
from xml.sax.saxutils import escape

import msgspec
from msgspec import Struct

from isthmus.limits import AWS_FORM_FIELDS_MAX
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.http.messages import Headers, Request, Response

FORM: Final = "application/x-www-form-urlencoded"
SPACE: Final = "http://queue.amazonaws.com/doc/2012-11-05/"

ONE: Final = {
    "Attributes": "Attribute",
    "AttributeNames": "AttributeName",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "MessageAttributeNames": "MessageAttributeName",
    "MessageAttributes": "MessageAttribute",
    "MessageSystemAttributes": "MessageSystemAttribute",
    "Tags": "Tag",
    "tags": "Tag",
    "TagKeys": "TagKey",
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "QueueUrls": "QueueUrl",
    "queueUrls": "QueueUrl",
    "Messages": "Message",
    "Results": "Result",
    "Failed": "BatchResultErrorEntry",
}
"""What one of them is called. The entries of a batch, and of its answer, have the name of the action in theirs."""

_KEYED: Final = ("Tag",)
"""Maps whose rows say Key and not Name."""

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}\Z")
I = TypeVar("I", bound=Struct)  # noqa: E741 - an input
Tree = dict[str, Any]


class Form(Struct, frozen=True):
    """One request: the action, its form as a tree, and the address of the queue that its path implies."""

    action: str
    tree: Tree
    queue_url: str | None
    request_id: str


def is_form(request: Request) -> bool:
    """Whether a request speaks this protocol: it names no target, and has an action in its form or its address."""
    if request.header("x-amz-target") is not None:
        return False
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    return kind == FORM or "Action=" in request.query


def read(request: Request) -> Form:
    """The form of a request, from its body and its address.

    Raises:
        AwsError: it is no form, or names no action.
    """
    rows: list[tuple[str, str]] = []
    try:
        for text in (request.query, request.body.decode() if request.method == "POST" else ""):
            rows += urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=AWS_FORM_FIELDS_MAX)
    except ValueError as error:
        raise AwsError("MalformedQueryString", f"the form cannot be read: {error}") from error
    tree: Tree = {}
    for name, value in rows:
        _put(tree, name, value)
    action = tree.get("Action")
    if not isinstance(action, str) or not action:
        raise AwsError("MissingAction", "The request must contain the parameter Action.")
    implied = request.path if request.path.count("/") > 1 else None
    return Form(action, tree, implied, str(uuid.uuid4()))


def _put(tree: Tree, name: str, value: str) -> None:
    *folders, last = name.split(".", 5)
    for folder in folders:
        inner = tree.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise AwsError("MalformedQueryString", f"the parameter {folder} is a value and a list at once")
        tree = inner
    tree[last] = value


def decode(form: Form, shape: type[I]) -> I:
    """The input of a form.

    Raises:
        AwsError: a member has another type.
    """
    found = _members(form.tree, shape, form.action)
    if "QueueUrl" not in found and form.queue_url is not None:
        found["QueueUrl"] = form.queue_url
    try:
        return msgspec.convert(found, shape, strict=False)
    except msgspec.ValidationError as error:
        raise AwsError("InvalidParameterValue", f"the input has another form: {error}") from error


def _members(tree: Tree, shape: type[Struct], action: str) -> Tree:
    found: Tree = {}
    for name, kind, inner in _fields(shape):
        if kind == "value":
            if isinstance(tree.get(name), str):
                found[name] = tree[name]
            continue
        one = f"{action}RequestEntry" if name == "Entries" else ONE[name]
        rows = list(_numbered(tree.get(one)))
        if kind == "list":
            found[name] = [row if inner is None else _members(_folder(row), inner, action) for row in rows]
        else:
            found[name] = dict(_row(_folder(row), one, inner, action) for row in rows)
    return found


def _numbered(node: object) -> Iterator[Any]:
    """The rows of a list in the order of their numbers, whatever numbers there are."""
    if not isinstance(node, dict):
        return
    numbers = [name for name in node if _NUMBER.match(name)]
    for number in sorted(numbers, key=int):
        yield node[number]


def _folder(node: object) -> Tree:
    return node if isinstance(node, dict) else {}


def _row(row: Tree, one: str, inner: type[Struct] | None, action: str) -> tuple[str, Any]:
    key = str(row.get("Key" if one in _KEYED else "Name", ""))
    value = row.get("Value", "")
    return key, str(value) if inner is None else _members(_folder(value), inner, action)


@lru_cache(128)
def _fields(shape: type[Struct]) -> tuple[tuple[str, str, type[Struct] | None], ...]:
    """Of each member its name, whether it is a value, a list or a map, and the struct in it."""
    rows = []
    for field in msgspec.structs.fields(shape):
        kind: Any = field.type
        if isinstance(kind, UnionType) or get_origin(kind) is not None:
            kind = next((each for each in get_args(kind) if get_origin(each) in (list, dict)), kind)
        origin, inner = get_origin(kind), (get_args(kind) or (None,))[-1]
        struct = inner if isinstance(inner, type) and issubclass(inner, Struct) else None
        rows.append((field.encode_name, "list" if origin is list else "map" if origin is dict else "value", struct))
    return tuple(rows)


# ---- the way out --------------------------------------------------------------------------------------------------


def answer(form: Form, output: Struct | None) -> Response:
    """The answer with an output, or with none."""
    name, meta = form.action, f"<ResponseMetadata><RequestId>{form.request_id}</RequestId></ResponseMetadata>"
    result = "" if output is None else f"<{name}Result>{''.join(_shown(output, name))}</{name}Result>"
    return _response(200, f'<{name}Response xmlns="{SPACE}">{result}{meta}</{name}Response>', form.request_id)


def refusal(form: Form | None, error: AwsError) -> Response:
    """The answer with an error."""
    request_id = str(uuid.uuid4()) if form is None else form.request_id
    message = error.message
    if error.code == "QueueDoesNotExist":
        message = "The specified queue does not exist for this wsdl version."
    body = (
        f'<ErrorResponse xmlns="{SPACE}"><Error><Type>{"Sender" if error.sender else "Receiver"}</Type>'
        f"<Code>{_text(error.query_code)}</Code><Message>{_text(message)}</Message><Detail/></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return _response(error.status, body, request_id)


def _response(status: int, body: str, request_id: str) -> Response:
    headers: Headers = (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id))
    return Response(status=status, headers=headers, body=f'<?xml version="1.0"?>{body}'.encode())


def _shown(output: Struct, action: str) -> Iterator[str]:
    for name, kind, _ in _fields(type(output)):
        value = getattr(output, _attribute(type(output), name))
        if value is None:
            continue
        if kind == "value":
            yield _element(name, value)
            continue
        one = f"{action}ResultEntry" if name == "Successful" else ONE[name]
        rows: Iterable[Any] = value.items() if kind == "map" else value
        for row in rows:
            yield (
                _element(one, row)
                if kind == "list" and not isinstance(row, Struct)
                else (f"<{one}>{_listed(row, one, action)}</{one}>")
            )


def _listed(row: Any, one: str, action: str) -> str:  # noqa: ANN401 - a struct, or a pair of key and value
    if isinstance(row, Struct):
        return "".join(_shown(row, action))
    key, value = row
    shown = (
        f"<Value>{''.join(_shown(value, action))}</Value>" if isinstance(value, Struct) else _element("Value", value)
    )
    return _element("Key" if one in _KEYED else "Name", key) + shown


@lru_cache(512)
def _attribute(shape: type[Struct], name: str) -> str:
    return next(field.name for field in msgspec.structs.fields(shape) if field.encode_name == name)


def _element(name: str, value: object) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, bytes):
        text = base64.b64encode(value).decode()
    else:
        text = _text(str(value))
    return f"<{name}>{text}</{name}>"


def _text(text: str) -> str:
    """Text for XML: a carriage return survives as a number, and what XML cannot say is replaced."""
    return _NO_XML.sub("\ufffd", escape(text, {'"': "&quot;", "\r": "&#xD;"}))
