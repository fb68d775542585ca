"""The witness finds what was lost, what is there twice and what came back, and nothing where all is well."""

import pytest

from isthmus.demo.lines import Acknowledged, Run, Settled
from isthmus.demo.witness import Place, Witness


def told() -> Witness:
    """Three events acknowledged before the kill and one after it; two jobs settled before it, one after."""
    witness = Witness()
    witness.hear(Acknowledged([Run(0, 0, [0, 3]), Run(1, 0, [6])]))
    witness.hear(Settled([1, 2]))
    witness.kill()
    witness.hear(Acknowledged([Run(1, 1, [7])]))
    witness.hear(Settled([1, 2, 3]))
    return witness


FOUND = {Place(0, 0): 0, Place(0, 1): 3, Place(1, 0): 6, Place(1, 1): 7, Place(1, 2): 9}


def test_all_is_well_when_everything_is_where_it_was_said_to_be() -> None:
    verdict = told().judge(FOUND, [1, 2, 3, 4])

    assert (verdict.acknowledged, verdict.acknowledged_before, verdict.settled_before) == (4, 3, 2)
    assert (verdict.lost_before, verdict.lost_after, verdict.twice, verdict.came_back) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "lost"),
    [({Place(0, 1): None}, (1, 0)), ({Place(0, 1): 5}, (1, 0)), ({Place(1, 1): None}, (0, 1))],
)
def test_an_acknowledged_event_that_is_gone_or_another_is_lost(
    change: dict[Place, int | None], lost: tuple[int, int]
) -> None:
    found = {place: marked for place, marked in (FOUND | change).items() if marked is not None}

    verdict = told().judge(found, [1, 2, 3])

    assert (verdict.lost_before, verdict.lost_after) == lost


def test_an_event_that_was_published_again_is_there_twice() -> None:
    assert told().judge(FOUND | {Place(2, 0): 3}, [1, 2, 3]).twice == 1


@pytest.mark.parametrize("rebooked", [[1, 2, 2], [1, 3]])
def test_a_settled_job_that_was_done_again_or_whose_result_is_gone_came_back(rebooked: list[int]) -> None:
    assert told().judge(FOUND, rebooked).came_back == 1


def test_flights_are_counted_once_whatever_became_of_them() -> None:
    assert told().flights == 3


def test_nothing_was_before_a_kill_that_did_not_happen() -> None:
    witness = Witness()
    witness.hear(Acknowledged([Run(0, 0, [0])]))

    assert witness.judge({Place(0, 0): 0}, []).acknowledged_before == 0
