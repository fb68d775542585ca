"""Which files of a journal count when a compaction was cut short."""

from isthmus.log.chain import by_coverage, by_swaps
from isthmus.log.segment import FileName

ONE = FileName(0, None, 0)
TWO = FileName(100, None, 0)
THREE = FileName(200, None, 0)
BOTH = FileName(0, 200, 1)
AGAIN = FileName(0, 200, 2)
SIZES = {ONE: 100, TWO: 100, THREE: 4_096}


class TestBySwaps:
    def test_sources_count_as_long_as_no_fact_says_otherwise(self) -> None:
        assert by_swaps([BOTH, ONE, TWO, THREE], set()) == ([ONE, TWO, THREE], [BOTH])

    def test_a_target_counts_with_its_fact_whatever_is_left_of_its_sources(self) -> None:
        assert by_swaps([ONE, TWO, BOTH, THREE], {BOTH}) == ([BOTH, THREE], [ONE, TWO])
        assert by_swaps([TWO, BOTH, THREE], {BOTH}) == ([BOTH, THREE], [TWO])

    def test_a_target_may_be_a_source_itself(self) -> None:
        assert by_swaps([BOTH, AGAIN, THREE], {BOTH}) == ([BOTH, THREE], [AGAIN])
        assert by_swaps([BOTH, AGAIN, THREE], {AGAIN}) == ([AGAIN, THREE], [BOTH])

    def test_a_fact_about_a_file_that_is_gone_changes_nothing(self) -> None:
        assert by_swaps([ONE, TWO, THREE], {BOTH}) == ([ONE, TWO, THREE], [])


class TestByCoverage:
    def test_sources_count_while_all_of_them_are_there(self) -> None:
        assert by_coverage([BOTH, ONE, TWO, THREE], SIZES.__getitem__) == [ONE, TWO, THREE]

    def test_else_their_target_does(self) -> None:
        assert by_coverage([ONE, BOTH, THREE], SIZES.__getitem__) == [BOTH, THREE]
        assert by_coverage([TWO, BOTH, THREE], SIZES.__getitem__) == [BOTH, THREE]
        assert by_coverage([BOTH, THREE], SIZES.__getitem__) == [BOTH, THREE]

    def test_a_file_that_ends_too_early_leaves_a_gap(self) -> None:
        assert by_coverage([ONE, TWO, BOTH], {ONE: 100, TWO: 96}.__getitem__) == [BOTH]

    def test_the_older_of_two_targets_covers_the_range(self) -> None:
        assert by_coverage([BOTH, AGAIN, THREE], SIZES.__getitem__) == [BOTH, THREE]
