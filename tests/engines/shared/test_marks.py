"""Headers of the engine's own."""

from isthmus.broker.publishing import DUE, EXPIRE, ONLY
from isthmus.engines.shared import marks
from isthmus.engines.shared.marks import Origin
from isthmus.log.headers import decode_headers, encode_headers
from isthmus.record import NO_HEADERS, Record, StoredRecord


def stored(*headers: tuple[str, bytes | None], time_ms: int = 1_000) -> StoredRecord:
    return StoredRecord(5, time_ms, b"k", b"v", encode_headers(headers) if headers else NO_HEADERS)


def again(record: Record, offset: int) -> StoredRecord:
    return StoredRecord(offset, record.timestamp_ms, record.key, record.value, record.headers)


def test_a_copy_says_what_it_is_a_copy_of_and_looks_like_it_when_handed_out() -> None:
    first = stored(("a", b"1"))
    once = again(marks.retried(first, Origin("jobs/0/5", 1, 2), 9_000), 7)
    twice = again(marks.retried(once, Origin("jobs/0/5", 2, 3), 12_000), 8)

    assert marks.origin_of(first, "jobs", 0) == Origin("jobs/0/5")
    assert marks.origin_of(twice, "jobs.retry", 0) == Origin("jobs/0/5", 2, 3)
    assert (marks.due_of(once), marks.due_of(twice)) == (9_000, 12_000)
    assert decode_headers(marks.bare(twice).headers) == (("a", b"1"),)


def test_a_record_is_over_by_its_own_time_or_by_its_queue_s() -> None:
    assert marks.is_over(stored((EXPIRE, b"2000")), 2_000, None)
    assert not marks.is_over(stored((EXPIRE, b"2000")), 1_999, None)
    assert marks.is_over(stored(), 2_000, 1_000)
    assert not marks.is_over(stored(), 1_999, 1_000)


def test_a_record_may_be_for_one_group_alone() -> None:
    assert marks.is_for(stored((ONLY, b"billing")), "billing")
    assert not marks.is_for(stored((ONLY, b"billing")), "other")
    assert marks.is_for(stored((ONLY, b"billing")), None)
    assert marks.is_for(stored(), "other")


def test_headers_that_somebody_else_made_up_mean_nothing() -> None:
    odd = stored((DUE, b"soon"), (marks.RETRY, b"x y"))

    assert marks.due_of(odd) == 0
    assert marks.origin_of(odd, "t", 1) == Origin("t/1/5")


def test_records_are_stamped_and_marked() -> None:
    timed = marks.stamped(Record(b"v", timestamp_ms=-1), 7)

    assert timed.timestamp_ms == 7
    assert marks.stamped(timed, 9) is timed
    assert decode_headers(marks.marked([timed], [("h", b"1")])[0].headers) == (("h", b"1"),)
