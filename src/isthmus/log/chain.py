"""Which files of a journal make it up when compaction was cut short: sources, or what was to take their place. Pure.

It sees names and sizes only, and removes nothing.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from isthmus.log.segment import FileName


def by_swaps(files: Iterable[FileName], swapped: Collection[FileName]) -> tuple[list[FileName], list[FileName]]:
    """The files that count, in order, and those that are left over, when it is known which compacted ones count.

    A compacted file without its fact is left over, and so is what lies in the range of one that has it.

    Args:
        files: that are there.
        swapped: the compacted files that a fact speaks of.
    """
    known = sorted(files, key=_first)
    targets = [file for file in known if file in swapped]
    chosen: list[FileName] = []
    left_over: list[FileName] = []
    for file in known:
        counts = file in targets or (file.end_lsn is None and not any(_holds(target, file) for target in targets))
        (chosen if counts else left_over).append(file)
    return chosen, left_over


def by_coverage(files: Iterable[FileName], size_of: Callable[[FileName], int]) -> list[FileName]:
    """The files that count, in order, when no fact is known: sources as long as all of them are there."""
    known = sorted(files, key=lambda file: (file.generation, file.first_lsn))
    chosen = [file for file in known if file.end_lsn is None]
    for target in known:
        if target.end_lsn is not None:
            inside = [file for file in chosen if _holds(target, file)]
            if not _cover(inside, target, size_of):
                chosen = sorted([*(file for file in chosen if file not in inside), target], key=_first)
    return chosen


def _first(file: FileName) -> int:
    return file.first_lsn


def _holds(target: FileName, file: FileName) -> bool:
    return target.end_lsn is not None and file != target and target.first_lsn <= file.first_lsn < target.end_lsn


def _cover(files: Sequence[FileName], target: FileName, size_of: Callable[[FileName], int]) -> bool:
    """Whether files, in order, are the whole range of a target without a gap."""
    at = target.first_lsn
    for file in files:
        if file.first_lsn != at:
            return False
        at = file.end_lsn if file.end_lsn is not None else at + size_of(file)
    return at == target.end_lsn
