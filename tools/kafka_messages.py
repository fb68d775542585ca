# ruff: noqa: INP001 - a script, not a package
"""Write `src/isthmus/protocols/kafka/messages.py`: the structs of Kafka's messages, from the layouts.

`python tools/kafka_messages.py --write` brings the file up to date; without it the text goes to standard output.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from isthmus.protocols.kafka.schema import Field, layouts

TARGET: Final = Path(__file__).parents[1] / "src/isthmus/protocols/kafka/messages.py"
TYPES: Final = {"b": "bool", "str": "str", "bytes": "bytes", "uuid": "bytes", "recs": "Records", "f64": "float"}
HEAD: Final = '''"""The structs of Kafka's messages: one class for all versions, with defaults for what one lacks.

Written by `tools/kafka_messages.py` from `layouts.py`; do not edit.
"""

from msgspec import Struct

Records = bytes | tuple[bytes, ...]
"""Record batches; what is sent may be in pieces, which are never joined."""
'''


def type_of(field: Field) -> str:
    """The annotation of a field."""
    name = field.class_name if field.type == "struct" else TYPES.get(field.type, "int")
    if field.is_array:
        name = f"tuple[{name}, ...]"
    return f"{name} | None" if field.null_from is not None or field.default is None else name


def default_of(field: Field) -> str:
    """The default of a field as source."""
    if field.default is None and field.type == "struct" and not field.is_array and field.null_from is None:
        # Not a shared instance of a class that is further down: made by whoever needs it.
        return "None"
    return "bytes(16)" if field.type == "uuid" else repr(field.default)


def classes(name: str, fields: Sequence[Field], about: str) -> Iterator[str]:
    """The class of a struct, behind those that it is made of."""
    for field in fields:
        if field.fields:
            yield from classes(field.class_name, field.fields, f"In `{name}`.")
    rows = [f"    {field.name}: {type_of(field)} = {default_of(field)}" for field in fields]
    yield "\n".join([f"class {name}(Struct, frozen=True):", f'    """{about}"""', "", *rows])


def text() -> str:
    """The whole file."""
    parts = [HEAD]
    for layout in layouts().values():
        first, last = layout.versions
        key = "" if layout.api_key is None else f"API {layout.api_key}, "
        span = f"version {first}" if first == last else f"versions {first} to {last}"
        parts += classes(layout.name, layout.fields, f"{key}{span}.")
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    given = "\n\n\n".join(parts) + "\n"
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    return done.stdout


def main() -> None:
    """Print it, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    if parser.parse_args().write:
        TARGET.write_text(text())
    else:
        sys.stdout.write(text())


if __name__ == "__main__":
    main()
