"""The page about RabbitMQ's protocol says of queues' arguments what the code says, and its examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.handlers.arguments import ARGUMENTS, LATER, TYPES
from support.serve_process import serve_process
from support.source import ROOT

PAGE = ROOT / "docs/protocols/amqp.md"


def table(mark: str) -> list[tuple[str, ...]]:
    """The rows of a table of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in text.splitlines()[2:]]


def test_the_table_of_methods_names_all_that_a_client_may_send() -> None:
    wanted = [f"`{each.NAME}`" for each in m.ALL if each in m.FROM_CLIENT]

    assert [row[0].removeprefix("| ") for row in table("methods")] == wanted


def test_the_table_of_arguments_is_that_of_the_handlers() -> None:
    wanted = [
        (f"`{name}`", ", ".join(each for each in TYPES if each in argument.types), argument.acts)
        for name, argument in ARGUMENTS.items()
    ]

    assert table("arguments") == wanted
    assert table("refused") == [(f"`{name}`", why) for name, why in LATER.items()]


@pytest.mark.process
def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    programs = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with serve_process(tmp_path / "data", amqp=0) as addresses:
        host, _, port = addresses["amqp"].rpartition(":")
        program = "\n".join(programs).replace('"127.0.0.1", 5672', f'"{host}", {port}')
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stderr
