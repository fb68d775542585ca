"""Figures are kept list by list: all that a list changed, or nothing of it."""

from isthmus.demo.figures import CarrierFigures
from isthmus.demo.tally import Tally


def test_what_a_draft_changes_counts_when_it_is_kept() -> None:
    tally: Tally[str, CarrierFigures] = Tally(CarrierFigures)
    tally["UA"], tally["AA"] = CarrierFigures(departed=1), CarrierFigures(departed=5)
    draft = tally.draft()

    draft["UA"].depart(0)
    draft["B6"].cancel()

    assert dict(draft.keep()) == {"UA": CarrierFigures(departed=2), "B6": CarrierFigures(cancelled=1)}
    assert tally == {
        "UA": CarrierFigures(departed=2),
        "AA": CarrierFigures(departed=5),
        "B6": CarrierFigures(cancelled=1),
    }


def test_a_draft_that_is_dropped_leaves_nothing() -> None:
    tally: Tally[str, CarrierFigures] = Tally(CarrierFigures)
    tally["UA"] = CarrierFigures(departed=1)

    draft = tally.draft()
    draft["UA"].depart(30)
    draft["B6"].cancel()

    assert tally == {"UA": CarrierFigures(departed=1)}
