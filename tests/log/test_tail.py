"""The newest batches in memory, bounded in bytes."""

from isthmus.log.tail import TailCache


def filled(bytes_max: int, *sizes: int) -> TailCache:
    cache = TailCache(bytes_max)
    for number, size in enumerate(sizes):
        cache.put(number, bytes(size))
    return cache


def kept(cache: TailCache) -> list[int]:
    return [lsn for lsn in range(10) if cache.get(lsn) is not None]


def test_a_batch_is_found_by_the_lsn_of_its_entry() -> None:
    cache = TailCache(10)
    cache.put(64, b"batch")

    assert cache.get(64) == b"batch"
    assert cache.get(65) is None


def test_the_oldest_goes_when_there_are_too_many_bytes() -> None:
    cache = filled(10, 4, 4, 4)

    assert kept(cache) == [1, 2]
    assert cache.size_bytes == 8


def test_a_batch_that_just_fits_stays() -> None:
    assert kept(filled(10, 5, 5)) == [0, 1]


def test_a_batch_that_is_larger_than_the_cache_is_not_kept() -> None:
    cache = filled(10, 4, 11)

    assert kept(cache) == []
    assert cache.size_bytes == 0


def test_what_removed_segments_held_is_forgotten() -> None:
    cache = filled(100, 4, 5, 6)
    cache.drop_below(2)

    assert kept(cache) == [2]
    assert cache.size_bytes == 6
