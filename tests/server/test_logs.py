"""A line of the log is a line, whatever a peer has sent."""

import json
import logging
import sys

import pytest

from isthmus.server.logs import JsonLines, TextLines


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    """A message as a logger hands it on."""
    info = None
    if failed:
        try:
            raise ZeroDivisionError("no")
        except ZeroDivisionError:
            info = sys.exc_info()
    return logging.LogRecord("isthmus.server", logging.WARNING, "x.py", 1, "%s", (message,), info)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\u2028b", "a\\r\\u2028b"),
        ("caf\u00e9 \\x", "caf\u00e9 \\x"),
    ],
)
def test_control_characters_are_shown_and_not_sent(sent: str, shown: str) -> None:
    line = TextLines().format(record(sent))

    assert line.endswith(f" WARNING isthmus.server: {shown}")


def test_a_traceback_stands_below() -> None:
    first, *more = TextLines().format(record("failed", failed=True)).splitlines()

    assert first.endswith("failed")
    assert more[-1] == "ZeroDivisionError: no"


def test_machines_get_an_object_a_line() -> None:
    line = JsonLines().format(record("a\nb", failed=True))
    found = json.loads(line)

    assert "\n" not in line
    assert (found["level"], found["logger"], found["message"]) == ("warning", "isthmus.server", "a\nb")
    assert found["at"].endswith("+00:00")
    assert found["traceback"].endswith("ZeroDivisionError: no")
