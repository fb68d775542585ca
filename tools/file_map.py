# ruff: noqa: INP001 - a script, not a package
"""The file map of DESIGN.md: every source file with the first sentence of its docstring.

`python tools/file_map.py` prints it, `--write` puts it between the marks in DESIGN.md. It reads the tree and nothing
else.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "isthmus"
DESIGN: Final = ROOT / "DESIGN.md"
START: Final = "<!-- file map: written by tools/file_map.py -->\n"
END: Final = "<!-- end of the file map -->\n"

FOLDERS: Final = {
    "": "Shared nouns, errors, bounds, time",
    "log": "One log",
    "lenses/stream": "Lens one: by offset",
    "lenses/queue": "Lens two: by lease",
    "broker": "One door",
    "protocols": "Protocols: what they share",
    "protocols/native": "The library's own protocol",
    "protocols/http": "HTTP, for all that stands on it",
    "protocols/aws": "what the doors of AWS's protocols share",
    "protocols/aws/handlers": "The door of AWS's protocols",
    "protocols/sqs": "Amazon SQS's protocol",
    "protocols/sqs/handlers": "SQS's actions",
    "protocols/kinesis": "Amazon Kinesis's protocol",
    "protocols/kinesis/handlers": "Kinesis's actions",
    "protocols/amqp": "AMQP 0-9-1, RabbitMQ's protocol",
    "protocols/amqp/handlers": "AMQP's methods",
    "protocols/kafka": "Kafka's protocol",
    "protocols/kafka/handlers": "Kafka's operations",
    "web": "What the web port serves",
    "web/management": "RabbitMQ's management API, on what Isthmus has",
    "server": "Sockets",
    "engines": "Several engines behind one port",
    "engines/kafka": "The engine on a Kafka cluster",
    "engines/rabbitmq": "The engine on a RabbitMQ broker",
    "engines/shared": "What engines on foreign brokers share",
    "client": "One API",
    "cli": "Commands",
    "demo": "The demo",
}
"""Folders in the order of the layers, lowest first, with what lives there."""


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, or nothing for a file without one."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    first, stop, _ = paragraph.partition(". ")
    return first + stop.strip() if stop else paragraph


def lines() -> Iterator[str]:
    """The map, line by line."""
    for folder, title in FOLDERS.items():
        yield f"### {title}: `{folder or 'isthmus'}/`"
        yield ""
        for path in sorted((SOURCE / folder).glob("*.py")):
            if path.name != "__init__.py" or not folder:
                yield f"- `{path.name}`: {sentence(path)}"
        yield ""


def file_map() -> str:
    """The map as it belongs between the marks."""
    return "\n".join(lines())


def main() -> None:
    """Print the map or write it into DESIGN.md."""
    if "--write" not in sys.argv[1:]:
        sys.stdout.write(file_map())
        return
    before, _, rest = DESIGN.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    DESIGN.write_text(before + START + file_map() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
