"""How a server's log lines look: text for people, or one JSON object a line for machines.

A line stays a line: what a peer has sent cannot break it or steer a terminal. It chooses no levels and no place.
"""

import logging
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]|\n(?=.)|\t", re.DOTALL)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class TextLines(logging.Formatter):
    """Time, level, where it comes from, and the message; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        """The line without control characters."""
        return _CONTROL.sub(_escaped, super().formatMessage(record))


class JsonLines(logging.Formatter):
    """`at` (UTC), `level`, `logger`, `message`, and `traceback` when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One object."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up(*, json: bool, quiet: bool) -> None:
    """Log to standard error, from warnings or from information on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if json else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING if quiet else logging.INFO)
