"""A process with some of the demo's handlers runs on a server until it is asked to end."""

from pathlib import Path

import pytest

from isthmus import connect
from isthmus.demo import events
from isthmus.demo.cast import HELPER, served
from isthmus.demo.child import until
from isthmus.demo.processes import ended, process
from isthmus.types import Bus

pytestmark = pytest.mark.process


async def groups(bus: Bus) -> set[str]:
    return {view.name for view in await bus.admin.groups()}


async def test_it_has_the_groups_of_its_part_and_stops_in_order(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as url, connect(url) as bus:
        await bus.declare(events.flights)
        async with process(HELPER, "--store", url, "--part", "figures") as helper:

            async def is_there() -> bool:
                return await groups(bus) == {"carriers", "boards", "audit"}

            await until(is_there)
            await ended(helper, "the helper")

    assert helper.returncode == 0


async def test_it_takes_no_part_that_is_the_leads() -> None:
    async with process(HELPER, "--store", "memory://", "--part", "lead") as helper:
        code = await helper.wait()

    assert code == 2
