"""The layouts of Kafka's messages, read from the notation of `layouts.py` into tables.

It says what a message is made of in each version; reading and writing bytes is `codec.py`'s.
"""

import re
from functools import cache
from typing import Final

from msgspec import Struct

from isthmus.errors import InvariantError
from isthmus.protocols.kafka.layouts import LAYOUTS

ALWAYS: Final = (0, 32_767)
FIXED: Final = {
    "b": ("?", 1),
    "i8": ("b", 1),
    "i16": ("h", 2),
    "u16": ("H", 2),
    "i32": ("i", 4),
    "u32": ("I", 4),
    "i64": ("q", 8),
    "f64": ("d", 8),
    "uuid": ("16s", 16),
}
"""Types of one size: their code for `struct`, and their size."""

ZEROS: Final = {"b": False, "f64": 0.0, "uuid": bytes(16), "str": "", "bytes": b"", "recs": b""}
"""The defaults of types where it is not 0."""


class Field(Struct, frozen=True, kw_only=True):
    """One field.

    `type` is a name of the notation, or "struct" with `fields` and the name of its class. `null_from` is the first
    version in which it may be null, None when never. `tag_from` is the first version in which it is tagged.
    """

    name: str
    type: str
    is_array: bool
    versions: tuple[int, int]
    null_from: int | None
    tag: int | None
    tag_from: int
    default: object
    fields: "tuple[Field, ...]"
    class_name: str

    def within(self, version: int) -> bool:
        """Whether messages of that version have it."""
        return self.versions[0] <= version <= self.versions[1]

    def nullable(self, version: int) -> bool:
        """Whether it may be null there."""
        return self.null_from is not None and version >= self.null_from

    def tagged(self, version: int) -> bool:
        """Whether it travels as a tagged field there."""
        return self.tag is not None and version >= self.tag_from


class Layout(Struct, frozen=True, kw_only=True):
    """One message. `api_key` is None for headers and for the blobs of consumers; `flexible` None is "never"."""

    api_key: int | None
    name: str
    versions: tuple[int, int]
    flexible: int | None
    fields: tuple[Field, ...]

    def is_flexible(self, version: int) -> bool:
        """Whether that version has compact lengths and tagged fields."""
        return self.flexible is not None and version >= self.flexible


# ---- reading the notation --------------------------------------------------------------------------------------------

_HEAD: Final = re.compile(r"(?P<key>-|\d+) (?P<name>\w+) v(?P<first>\d+)(-(?P<last>\d+))? flex=(?P<flex>none|\d+): ?")
_NAME: Final = re.compile(r"\s*(?P<name>\w+) (?P<null>\?((?P<from>\d+)\+:)?)?")
_TAIL: Final = re.compile(
    r"(@(?P<span>-?\d+[+]?(-\d+)?))?(#(?P<tag>\d+)(\((?P<tag_from>\d+)\+\))?)?(@(?P<late>-?\d+[+]?(-\d+)?))?"
    r"(=(?P<default>[\w-]+))?"
)
_TYPE: Final = re.compile(r"[a-z]+\d*")


def _span(text: str | None) -> tuple[int, int]:
    if text is None:
        return ALWAYS
    if text.endswith("+"):
        return int(text[:-1]), ALWAYS[1]
    if text.startswith("-"):
        return 0, int(text[1:])
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def snake(name: str) -> str:
    """`ProducerId` as `producer_id`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def singular(name: str) -> str:
    """The class of one of many: `Topics` holds `Topic`."""
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name.removesuffix("s")


class _Parser:
    """One line of the notation."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._line, self._at)
        if found is None:
            raise InvariantError(f"layout cannot be read at {self._line[self._at : self._at + 40]!r}")
        self._at = found.end()
        return found

    def _is(self, text: str) -> bool:
        if self._line.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def layout(self) -> Layout:
        """The whole line."""
        head = self._match(_HEAD)
        first = int(head["first"])
        fields = self._fields(head["name"]) if self._at < len(self._line) else ()
        return Layout(
            api_key=None if head["key"] == "-" else int(head["key"]),
            name=head["name"],
            versions=(first, int(head["last"] or first)),
            flexible=None if head["flex"] == "none" else int(head["flex"]),
            fields=fields,
        )

    def _fields(self, owner: str) -> tuple[Field, ...]:
        found = [self._field(owner)]
        while self._is(","):
            found.append(self._field(owner))
        return tuple(found)

    def _field(self, owner: str) -> Field:
        head = self._match(_NAME)
        name, null = head["name"], head["null"]
        is_array = self._is("[")
        is_struct = self._is("{")
        fields: tuple[Field, ...] = ()
        kind, class_name = "struct", f"{owner}{singular(name) if is_array else name}"
        if is_struct or (is_array and not _is_type(self._line, self._at)):
            fields = self._fields(class_name)
        else:
            kind = self._match(_TYPE)[0]
        if (is_array and not self._is("]")) or (is_struct and not self._is("}")):
            raise InvariantError(f"layout of {owner}.{name} is not closed")
        tail = self._match(_TAIL)
        tag = None if tail["tag"] is None else int(tail["tag"])
        span = _span(tail["span"] or tail["late"])
        null_from = None if null is None else int(head["from"] or 0)
        return Field(
            name=snake(name),
            type=kind,
            is_array=is_array,
            versions=span,
            null_from=null_from,
            tag=tag,
            tag_from=int(tail["tag_from"] or 0),
            default=_default(kind, tail["default"], is_array=is_array, null=null_from == 0),
            fields=fields,
            class_name=class_name,
        )


def _is_type(line: str, at: int) -> bool:
    found = _TYPE.match(line, at)
    return found is not None and line.startswith("]", found.end())


def _default(kind: str, text: str | None, *, is_array: bool, null: bool) -> object:
    """What a field is when nobody says.

    Deviation: Kafka's own default of a text that may be null is mostly empty; here it is null, which is what its
    broker sends.
    """
    if text == "null":
        return None
    if is_array:
        return ()
    if kind == "struct" or (kind == "str" and null and text is None):
        return None
    if text is None:
        return ZEROS.get(kind, 0)
    return text == "true" if kind == "b" else int(text, 0)


# ---- tables ----------------------------------------------------------------------------------------------------------


@cache
def layouts() -> dict[str, Layout]:
    """All messages by name."""
    joined = LAYOUTS.replace("\n    ", " ").splitlines()
    found = [_Parser(line).layout() for line in joined]
    return {layout.name: layout for layout in found}


@cache
def requests() -> dict[int, Layout]:
    """Requests by API key."""
    return {
        each.api_key: each for each in layouts().values() if each.api_key is not None and "Request" in each.name[-7:]
    }


def response_to(request: Layout) -> Layout:
    """The layout of the answer."""
    return layouts()[f"{request.name.removesuffix('Request')}Response"]


def api_name(api_key: int) -> str:
    """The name of an API, for people."""
    found = requests().get(api_key)
    return f"API {api_key}" if found is None else found.name.removesuffix("Request")
