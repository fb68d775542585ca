"""Reads docs/formats/ for the tests that hold text and code together, and checksums without a library."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TEXT = Path(__file__).parents[2] / "docs" / "formats" / "journal.md"
_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}
_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8}


def layout(name: str, path: Path = TEXT) -> str:
    """The `struct` format that the byte table called `name` describes; its offsets and widths must add up."""
    text = path.read_text(encoding="utf-8").split(f"<!-- layout: {name} -->")[1]
    codes, end = "", 0
    for offset, size, kind, _ in _rows(text, 4):
        assert int(offset) == end, f"{name}: a field at {offset} where {end} was expected"
        assert _WIDTHS.get(kind, int(size)) == int(size), f"{name}: {kind} of {size} bytes"
        codes += _CODES.get(kind) or f"{size}s"
        end += int(size)
    return "<" + codes


def example(name: str, path: Path = TEXT) -> bytes:
    """The bytes of the worked example called `name`."""
    text = path.read_text(encoding="utf-8").split(f"<!-- bytes: {name} -->")[1]
    return bytes.fromhex(text.split("```")[1])


def facts_table() -> list[tuple[int, str, tuple[str, ...]]]:
    """Tag, name and fields of each fact."""
    text = TEXT.read_text(encoding="utf-8").split("| tag | fact | fields |")[1]
    rows = _rows("| tag | fact | fields |" + text, 3)
    return [(int(tag), name.strip("`"), tuple(fields.split(", "))) for tag, name, fields in rows]


def flags_table() -> list[tuple[int, str]]:
    """Bit and name of each entry flag."""
    text = TEXT.read_text(encoding="utf-8").split("| bit | code | meaning |")[1]
    return [(int(bit), name.strip("`")) for bit, name, _ in _rows("| bit | code | meaning |" + text, 3)]


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    """The cells of the first table in a text, without its two lines of head."""
    table = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert table, "a table was expected"
    for line in table[0].splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == columns, line
        yield cells


def expanded(packed: str) -> str:
    """A `struct` format with its repeat counts written out: `<2Q` becomes `<QQ`."""
    return re.sub(r"(\d+)([A-Za-rt-z])", lambda found: int(found[1]) * found[2], packed)


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


def crc32c(data: bytes) -> int:
    """CRC-32C, from its definition."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
