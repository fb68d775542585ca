"""Functions that read and write Kafka's messages, written as source from the layouts and compiled when first used.

It knows layouts and bytes; keys, headers and versions that a server speaks are none of its business.

Theory of operation
-------------------
For each message and version a function is made: straight-line code in which fields of fixed size that follow one
another are read or written by one `struct` call. That is nearly as fast as what one would write by hand, for all
messages (docs/adr/0007). The source is made of our own layouts alone, never of what a peer sends. What cannot be read
ends in `MalformedMessage`, or in the errors of `struct`, of a short sequence or of UTF-8, which `codec.py` translates;
every length and count is checked against the bytes that are left before anything is made of it.
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from isthmus.errors import ProtocolError
from isthmus.limits import KAFKA_TOLD_CHARS_MAX
from isthmus.protocols.kafka import messages
from isthmus.protocols.kafka.schema import FIXED, Field, layouts

Decoder = Callable[[bytes, int, int], tuple[Any, int]]
"""From bytes, where the message begins, and where the bytes end, to the message and where it ends."""

Encoder = Callable[[Any, list[bytes]], None]
"""Adds the pieces of a message to a list."""

VARINT_BYTES_MAX: Final = 5

TOLD: Final = "error_message"
"""The one field that is cut when it is too long, so that what a client sent and is told of always fits an answer."""


class MalformedMessage(ProtocolError):
    """Bytes that are not the message that they are said to be."""


# ---- what the compiled functions call --------------------------------------------------------------------------------


def _uvarint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint of up to 32 bits."""
    value = shift = 0
    for _ in range(VARINT_BYTES_MAX):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    else:
        raise MalformedMessage(f"a length of more than {VARINT_BYTES_MAX} bytes at {at}")
    if value > 0xFFFFFFFF:
        raise MalformedMessage(f"a length of more than 32 bits at {at}")
    return value, at


def _encode_uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL: Final = [_encode_uvarint(value) for value in range(1_024)]


def _uv(value: int) -> bytes:
    return _SMALL[value] if value < len(_SMALL) else _encode_uvarint(value)


def skip_tags(data: bytes, at: int, end: int) -> int:
    """Pass over a section of tagged fields. Raises MalformedMessage, IndexError."""
    count, at = _uvarint(data, at)
    for _ in range(count):
        _, at = _uvarint(data, at)
        size, at = _uvarint(data, at)
        at += size
        if at > end:
            raise MalformedMessage(f"a tagged field of {size} bytes at {at - size} goes beyond the end")
    return at


def _refuse(field: str, what: str, at: int) -> None:
    raise MalformedMessage(f"{field} {what} at {at}")


def _size_of(records: messages.Records) -> int:
    return len(records) if isinstance(records, bytes) else sum(map(len, records))


# ---- writing decoders ------------------------------------------------------------------------------------------------


class _Source:
    """Lines of a function under way, with the run of fixed-size fields that waits to be read or written at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "Malformed": MalformedMessage,
            "uvarint": _uvarint,
            "uv": _uv,
            "skip_tags": skip_tags,
            "refuse": _refuse,
            "size_of": _size_of,
            "messages": messages,
        }
        self.depth = 1
        self._count = 0

    def add(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, value: object, stem: str) -> str:
        name = self.name(stem)
        self.names[name] = value
        return name

    def compile(self, arguments: str) -> Any:  # noqa: ANN401 - a decoder or an encoder
        text = f"def function({arguments}):\n" + "\n".join(self.lines) + "\n"
        exec(compile(text, "<kafka codec>", "exec"), self.names)  # noqa: S102 - written here, from our own tables
        return self.names["function"]


def _smallest(field: Field, version: int, *, flexible: bool) -> int:
    """The fewest bytes that an element of an array can have; bounds how many there can be."""
    if field.type in FIXED:
        return FIXED[field.type][1]
    if field.type != "struct":
        return 1 if flexible else 2
    inner = [each for each in field.fields if each.within(version) and not (flexible and each.tagged(version))]
    return max(1, sum(_smallest_of(each, version, flexible=flexible) for each in inner) + flexible)


def _smallest_of(field: Field, version: int, *, flexible: bool) -> int:
    if field.is_array or field.type in ("bytes", "recs"):
        return 1 if flexible else 4
    if field.type == "struct":
        return 1
    return _smallest(field, version, flexible=flexible)


@cache
def decoder(name: str, version: int) -> Decoder:
    """The function that reads a message."""
    layout = layouts()[name]
    flexible = layout.is_flexible(version)
    return _struct_decoder(layout.name, layout.fields, version, flexible=flexible)


def _struct_decoder(class_name: str, fields: Sequence[Field], version: int, *, flexible: bool) -> Decoder:
    source = _Source()
    source.names["Class"] = getattr(messages, class_name)
    run: list[tuple[str, str]] = []
    here = [each for each in fields if each.within(version)]
    for field in here:
        if flexible and field.tagged(version):
            continue
        if field.type in FIXED and not field.is_array:
            run.append((f"f_{field.name}", field.type))
            continue
        _read_run(source, run)
        _read(source, field, version, flexible=flexible)
    _read_run(source, run)
    if flexible:
        _read_tags(source, [each for each in here if each.tagged(version)], version)
    given = [f"f_{each.name}" if each in here else source.constant(each.default, "d") for each in fields]
    source.add(f"return Class({', '.join(given)}), at")
    decode: Decoder = source.compile("data, at, end")
    return decode


def _read_run(source: _Source, run: list[tuple[str, str]]) -> None:
    if not run:
        return
    code = ">" + "".join(FIXED[kind][0] for _, kind in run)
    unpack = source.constant(struct.Struct(code).unpack_from, "u")
    source.add(f"{', '.join(name for name, _ in run)}, = {unpack}(data, at)")
    source.add(f"at += {struct.calcsize(code)}")
    run.clear()


def _read_length(source: _Source, field: Field, *, flexible: bool) -> str:
    """Read a length or count into a name; -1 is null."""
    size = source.name("n")
    if flexible:
        source.add(f"{size} = data[at]")
        source.add(f"if {size} < 128: at += 1")
        source.add(f"else: {size}, at = uvarint(data, at)")
        source.add(f"{size} -= 1")
    else:
        code = ">h" if field.type == "str" and not field.is_array else ">i"
        unpack = source.constant(struct.Struct(code).unpack_from, "u")
        source.add(f"{size}, = {unpack}(data, at)")
        source.add(f"at += {struct.calcsize(code)}")
    return size


def _read(source: _Source, field: Field, version: int, *, flexible: bool) -> None:
    """Read one field that has no fixed size into `f_<name>`."""
    target = f"f_{field.name}"
    if field.type == "struct" and not field.is_array:
        _read_struct(source, field, version, flexible=flexible)
        return
    size = _read_length(source, field, flexible=flexible)
    source.add(f"if {size} < 0:")
    if field.nullable(version):
        source.add(f"    if {size} < -1: refuse({field.name!r}, 'has a negative length', at)")
        source.add(f"    {target} = None")
    else:
        source.add(f"    refuse({field.name!r}, 'may not be null', at)")
    source.add("else:")
    source.depth += 1
    if field.is_array:
        _read_array(source, field, size, version, flexible=flexible)
    else:
        stop = source.name("e")
        source.add(f"{stop} = at + {size}")
        source.add(f"if {stop} > end: refuse({field.name!r}, f'of {{{size}}} bytes goes beyond the end', at)")
        source.add(
            f"{target} = str(data[at:{stop}], 'utf-8')" if field.type == "str" else f"{target} = data[at:{stop}]"
        )
        source.add(f"at = {stop}")
    source.depth -= 1


def _read_array(source: _Source, field: Field, size: str, version: int, *, flexible: bool) -> None:
    target, smallest = f"f_{field.name}", _smallest(field, version, flexible=flexible)
    source.add(
        f"if {size} * {smallest} > end - at: refuse({field.name!r}, f'with {{{size}}} elements does not fit', at)"
    )
    if field.type in FIXED:
        code, width = FIXED[field.type]
        unpack = source.constant(struct.unpack_from, "u")
        wanted = f"f'>{{{size}}}{code}'" if field.type != "uuid" else f"'>' + '16s' * {size}"
        source.add(f"{target} = {unpack}({wanted}, data, at)")
        source.add(f"at += {size} * {width}")
        return
    rows = source.name("r")
    source.add(f"{rows} = []")
    source.add(f"for _ in range({size}):")
    source.depth += 1
    if field.type == "struct":
        inner = source.constant(_struct_decoder(field.class_name, field.fields, version, flexible=flexible), "s")
        source.add(f"one, at = {inner}(data, at, end)")
        source.add(f"{rows}.append(one)")
    else:
        one = _element(field)
        _read(source, one, version, flexible=flexible)
        source.add(f"{rows}.append(f_{one.name})")
    source.depth -= 1
    source.add(f"{target} = tuple({rows})")


def _element(field: Field) -> Field:
    """An element of an array of texts or bytes, as a field."""
    return Field(
        name=f"{field.name}_one",
        type=field.type,
        is_array=False,
        versions=field.versions,
        null_from=None,
        tag=None,
        tag_from=0,
        default=None,
        fields=(),
        class_name="",
    )


def _read_struct(source: _Source, field: Field, version: int, *, flexible: bool) -> None:
    inner = source.constant(_struct_decoder(field.class_name, field.fields, version, flexible=flexible), "s")
    if field.nullable(version):
        mark = source.name("m")
        source.add(f"{mark} = data[at]")
        source.add("at += 1")
        source.add(f"if {mark} == 255: f_{field.name} = None")
        source.add(f"else: f_{field.name}, at = {inner}(data, at, end)")
    else:
        source.add(f"f_{field.name}, at = {inner}(data, at, end)")


def _read_tags(source: _Source, tagged: Sequence[Field], version: int) -> None:
    """The section of tagged fields; most have none, which is one byte."""
    for field in tagged:
        source.add(f"f_{field.name} = {source.constant(field.default, 'd')}")
    source.add("if data[at] == 0: at += 1")
    if not tagged:
        source.add("else: at = skip_tags(data, at, end)")
        return
    source.add("else:")
    source.depth += 1
    source.add("tags, at = uvarint(data, at)")
    source.add("for _ in range(tags):")
    source.depth += 1
    source.add("tag, at = uvarint(data, at)")
    source.add("size, at = uvarint(data, at)")
    source.add("stop = at + size")
    source.add("if stop > end: refuse('a tagged field', 'goes beyond the end', at)")
    for index, field in enumerate(tagged):
        source.add(f"{'el' if index else ''}if tag == {field.tag}:")
        source.depth += 1
        if field.type in FIXED and not field.is_array:
            _read_run(source, [(f"f_{field.name}", field.type)])
        else:
            _read(source, field, version, flexible=True)
        source.add(f"if at != stop: refuse({field.name!r}, 'has another size than it says', at)")
        source.depth -= 1
    source.add("else: at = stop")
    source.depth -= 2


# ---- writing encoders ------------------------------------------------------------------------------------------------


@cache
def encoder(name: str, version: int) -> Encoder:
    """The function that writes a message."""
    layout = layouts()[name]
    return _struct_encoder(layout.name, layout.fields, version, flexible=layout.is_flexible(version))


def _struct_encoder(class_name: str, fields: Sequence[Field], version: int, *, flexible: bool) -> Encoder:
    source = _Source()
    source.names["Class"] = getattr(messages, class_name)
    source.add("add = out.append")
    run: list[tuple[str, str]] = []
    here = [each for each in fields if each.within(version)]
    for field in here:
        if flexible and field.tagged(version):
            continue
        if field.type in FIXED and not field.is_array:
            run.append((f"m.{field.name}", FIXED[field.type][0]))
            continue
        _write(source, field, f"m.{field.name}", run, version, flexible=flexible)
    tagged = [each for each in here if flexible and each.tagged(version)]
    if flexible and not tagged:
        run.append(("0", "B"))
    _write_run(source, run)
    if tagged:
        _write_tags(source, tagged, version)
    encode: Encoder = source.compile("m, out")
    return encode


def _write_run(source: _Source, run: list[tuple[str, str]]) -> None:
    if not run:
        return
    pack = source.constant(struct.Struct(">" + "".join(code for _, code in run)).pack, "p")
    source.add(f"add({pack}({', '.join(name for name, _ in run)}))")
    run.clear()


def _write_length(source: _Source, field: Field, value: str, run: list[tuple[str, str]], *, flexible: bool) -> None:
    """Write a length or count, old-style ones together with what fixed fields wait before it."""
    if flexible:
        _write_run(source, run)
        source.add(f"add(uv({value} + 1))")
    else:
        run.append((value, "h" if field.type == "str" and not field.is_array else "i"))
        _write_run(source, run)


def _write(
    source: _Source, field: Field, value: str, run: list[tuple[str, str]], version: int, *, flexible: bool
) -> None:
    """Write one field that has no fixed size."""
    if field.type == "struct" and not field.is_array:
        _write_struct(source, field, value, run, version, flexible=flexible)
        return
    if field.nullable(version):
        _write_run(source, run)
        source.add(f"if {value} is None: add({source.constant(_null(field, flexible=flexible), 'c')})")
        source.add("else:")
        source.depth += 1
    if field.is_array:
        _write_array(source, field, value, run, version, flexible=flexible)
    elif field.type == "recs":
        _write_length(source, field, f"size_of({value})", run, flexible=flexible)
        source.add(f"if type({value}) is tuple: out.extend({value})")
        source.add(f"else: add({value})")
    else:
        data = source.name("b")
        if field.name == TOLD:
            source.add(f"{data} = {value}[:{KAFKA_TOLD_CHARS_MAX}].encode()")
        else:
            source.add(f"{data} = {value}.encode()" if field.type == "str" else f"{data} = {value}")
        _write_length(source, field, f"len({data})", run, flexible=flexible)
        source.add(f"add({data})")
    if field.nullable(version):
        source.depth -= 1


def _null(field: Field, *, flexible: bool) -> bytes:
    if flexible:
        return b"\x00"
    return b"\xff" * (2 if field.type == "str" and not field.is_array else 4)


def _write_array(
    source: _Source, field: Field, value: str, run: list[tuple[str, str]], version: int, *, flexible: bool
) -> None:
    _write_length(source, field, f"len({value})", run, flexible=flexible)
    if field.type in FIXED:
        code = FIXED[field.type][0]
        wanted = f"f'>{{len({value})}}{code}'" if field.type != "uuid" else f"'>' + '16s' * len({value})"
        source.add(f"if {value}: add({source.constant(struct.pack, 'p')}({wanted}, *{value}))")
        return
    one = source.name("o")
    source.add(f"for {one} in {value}:")
    source.depth += 1
    if field.type == "struct":
        inner = source.constant(_struct_encoder(field.class_name, field.fields, version, flexible=flexible), "s")
        source.add(f"{inner}({one}, out)")
    else:
        _write(source, _element(field), one, [], version, flexible=flexible)
    source.depth -= 1


def _write_struct(
    source: _Source, field: Field, value: str, run: list[tuple[str, str]], version: int, *, flexible: bool
) -> None:
    inner = source.constant(_struct_encoder(field.class_name, field.fields, version, flexible=flexible), "s")
    _write_run(source, run)
    if field.nullable(version):
        source.add(f"if {value} is None: add(b'\\xff')")
        source.add(f"else: add(b'\\x01'); {inner}({value}, out)")
    else:
        blank = source.constant(getattr(messages, field.class_name)(), "d")
        source.add(f"{inner}({blank} if {value} is None else {value}, out)")


def _write_tags(source: _Source, tagged: Sequence[Field], version: int) -> None:
    """Tagged fields that are not at their defaults, by rising tag."""
    source.add("tags = []")
    for field in sorted(tagged, key=lambda each: each.tag or 0):
        value = f"m.{field.name}"
        source.add(f"if {value} != {source.constant(field.default, 'd')}:")
        source.depth += 1
        source.add("kept, out, add = (out, add), (piece := []), piece.append")
        run: list[tuple[str, str]] = []
        if field.type in FIXED and not field.is_array:
            _write_run(source, [(value, FIXED[field.type][0])])
        else:
            _write(source, field, value, run, version, flexible=True)
        source.add("out, add = kept")
        source.add(f"tags.append(({field.tag}, b''.join(piece)))")
        source.depth -= 1
    source.add("add(uv(len(tags)))")
    source.add("for tag, data in tags: add(uv(tag)); add(uv(len(data))); add(data)")
