"""The processes of the demo begin together and end together, whatever they were doing."""

import os
from pathlib import Path

import pytest

from isthmus import connect
from isthmus.demo import cast
from isthmus.errors import InvariantError
from support.flights import first_rows

pytestmark = pytest.mark.process


async def test_a_cast_around_a_server_is_killed_as_a_whole(tmp_path: Path) -> None:
    arguments = ["--flights", str(first_rows(tmp_path, 500))]

    async with cast.around_a_server(tmp_path / "data", arguments)() as staged:
        everybody = [staged.lead, *staged.others.values()]
        assert all(each.returncode is None for each in everybody)
        staged.kill()
        codes = [await each.wait() for each in everybody]

    assert codes == [-9] * 5
    staged.check()


async def test_a_lead_that_fails_takes_the_others_with_it(tmp_path: Path) -> None:
    async with cast.around_a_server(tmp_path / "data", ["--flights", str(tmp_path / "none.csv")])() as staged:
        assert await staged.lead.wait() == 1

    assert all(each.returncode is not None for each in staged.others.values())


async def test_a_process_that_ends_before_its_time_is_named(tmp_path: Path) -> None:
    async with cast.around_a_server(tmp_path / "data", ["--flights", str(first_rows(tmp_path, 500))])() as staged:
        staged.others["the first desk"].kill()
        code = await staged.lead.wait()
        with pytest.raises(InvariantError, match="the first desk ended with -9"):
            staged.check()

    assert code == -9


async def test_a_server_serves_a_directory_for_the_length_of_a_block(tmp_path: Path) -> None:
    async with cast.served(tmp_path / "data") as url, connect(url) as bus:
        assert await bus.admin.topics() == []

    assert os.listdir(tmp_path / "data")  # noqa: PTH208 - nobody else is on this loop


async def test_a_server_that_cannot_begin_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")

    with pytest.raises(InvariantError, match="the server ended"):
        async with cast.served(tmp_path / "data"):
            pass
