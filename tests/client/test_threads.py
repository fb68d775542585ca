"""The threads for users' plain functions."""

import threading

import pytest

from isthmus.client.threads import HandlerThreads
from isthmus.errors import Closed


def test_results_and_exceptions_come_back() -> None:
    threads = HandlerThreads(2)

    def fails() -> None:
        raise ValueError("no")

    assert threads.submit(lambda a, b: a + b, 1, b=2).result() == 3
    with pytest.raises(ValueError, match="no"):
        threads.submit(fails).result()
    threads.shutdown()


def test_work_runs_side_by_side_up_to_the_number_of_threads() -> None:
    threads = HandlerThreads(3)
    meeting = threading.Barrier(3)

    waiting = [threads.submit(meeting.wait) for _ in range(3)]

    assert sorted(each.result() for each in waiting) == [0, 1, 2]
    threads.shutdown()


def test_no_more_threads_are_started_than_are_needed() -> None:
    threads = HandlerThreads(8, name="few")

    names = {threads.submit(lambda: threading.current_thread().name).result() for _ in range(50)}

    assert len(names) <= 2  # the second when a job comes before the first thread is at rest
    threads.shutdown()


def test_they_do_not_keep_a_process_alive() -> None:
    threads = HandlerThreads(1)

    assert threads.submit(lambda: threading.current_thread().daemon).result()
    threads.shutdown()


def test_what_was_submitted_still_runs_at_the_end() -> None:
    threads = HandlerThreads(1)
    results = [threads.submit(int, number) for number in range(20)]

    threads.shutdown()

    assert [each.result() for each in results] == list(range(20))


def test_what_was_cancelled_does_not_run() -> None:
    threads = HandlerThreads(1)
    go = threading.Event()
    first = threads.submit(go.wait)
    second = threads.submit(go.clear)

    assert second.cancel()
    go.set()
    first.result()
    threads.shutdown()

    assert go.is_set()


def test_after_the_end_nothing_is_taken() -> None:
    threads = HandlerThreads(1)
    threads.shutdown()
    threads.shutdown()

    with pytest.raises(Closed):
        threads.submit(int)
