"""The child is killed once, goes on, and finishes; a child that fails by itself is not taken for a killed one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from isthmus.demo.cast import Staging, alone, around_a_server
from isthmus.demo.lives import Lives
from isthmus.demo.progress import Lines
from isthmus.errors import InvariantError
from support.flights import facts_of, first_rows

pytestmark = pytest.mark.process


@pytest.mark.parametrize("staged", [alone, around_a_server])
async def test_the_child_is_killed_once_and_its_successor_finishes(
    tmp_path: Path, staged: Callable[[Path, Sequence[str]], Staging]
) -> None:
    flights = first_rows(tmp_path, 500)
    lives = Lives(staged(tmp_path / "data", ["--flights", str(flights)]), 500, Lines())

    await lives.live()

    assert lives.again_ms > 0
    assert lives.witness.acknowledged <= len(facts_of(flights))
    assert lives.witness.flights <= 500
    assert [stage.name for stage in lives.stages] == [
        "flight events published",
        "flight events handled by four groups",
        "weather changes",
        "dead letters redriven",
    ]


async def test_a_child_that_ends_by_itself_is_an_error(tmp_path: Path) -> None:
    lives = Lives(alone(tmp_path, ["--flights", str(tmp_path / "none.csv")]), 500, Lines())

    with pytest.raises(InvariantError, match="was to be killed"):
        await lives.live()
