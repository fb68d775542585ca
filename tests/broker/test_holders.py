"""Which sessions hold something where."""

from isthmus.broker.holders import Holders


def test_a_session_is_known_to_hold_at_the_queues_it_came_to() -> None:
    holders = Holders()
    for queue, session in ((1, 10), (2, 10), (2, 20), (2, 10)):
        holders.hold(queue, session)

    assert holders.take(10) == [1, 2]

    assert holders.take(10) == []
    assert holders.take(20) == [2]


def test_a_queue_that_is_gone_is_held_by_nobody() -> None:
    holders = Holders()
    for queue, session in ((1, 10), (2, 10), (2, 20)):
        holders.hold(queue, session)

    holders.forget(2)
    holders.forget(3)

    assert holders.take(10) == [1]
    assert holders.take(20) == []


def test_what_is_over_leaves_nothing_behind() -> None:
    holders = Holders()
    holders.hold(1, 10)
    holders.hold(2, 20)

    holders.take(10)
    holders.forget(2)

    assert not holders._queues
    assert not holders._sessions
