"""The demo's other processes do not outlive it, and what they say is heard up to their end."""

import pytest

from isthmus.demo.lines import Settled, to_line
from isthmus.demo.processes import answer, lines, process
from isthmus.errors import InvariantError

pytestmark = pytest.mark.process


async def test_what_a_module_prints_is_its_answer() -> None:
    assert (await answer("platform")).strip()


async def test_a_module_that_fails_is_named() -> None:
    with pytest.raises(InvariantError, match=r"json\.tool"):
        await answer("json.tool", "there/is/no/such/file")


async def test_a_process_ends_with_its_block() -> None:
    async with process("asyncio") as started:
        assert started.returncode is None

    assert started.returncode == -9


async def test_lines_come_until_the_child_ends_without_the_one_it_did_not_finish() -> None:
    said = (to_line(Settled([1])) + to_line(Settled([2])) + b'{"type"').decode()

    async with process("timeit", "-n1", "-r1", "-s", f"print({said!r}, end=''); raise SystemExit") as started:
        heard = [line async for line in lines(started)]

    assert heard == [Settled([1]), Settled([2])]
