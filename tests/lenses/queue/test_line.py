"""The line: turns, priorities, and the single active consumer."""

import pytest

from isthmus.lenses.queue.line import Line
from isthmus.lenses.queue.takers import Consumer, Waiter, Wish


class _Desk:
    """Where consumers stand."""

    def __init__(self, *, single: bool = False) -> None:
        self.idle = True
        self.line = Line(lambda: self.idle, single=single)

    def consumer(self, priority: int = 0, *, credit: int = 1) -> Consumer:
        wish = Wish("one", 1, 0, credit, 1_000, None)
        consumer = Consumer(self, wish, self.line.number(), priority, lambda _: None, None)
        self.line.standing[consumer.number] = consumer
        self.granted(consumer)
        return consumer

    def waiter(self, session: int = 1) -> Waiter:
        waiter = Waiter(Wish("caller", session, 0, 1, 1_000, None), self.line.number())
        self.line.join(waiter)
        return waiter

    def granted(self, consumer: Consumer) -> None:
        if consumer.credit > 0:
            self.line.join(consumer)
        else:
            self.line.leave(consumer)

    def cancelled(self, consumer: Consumer) -> None:
        self.line.leave(consumer)
        del self.line.standing[consumer.number]

    def is_active(self, consumer: Consumer) -> bool:
        return self.line.is_active(consumer)


@pytest.fixture
def desk() -> _Desk:
    return _Desk()


@pytest.fixture
def single() -> _Desk:
    return _Desk(single=True)


def test_who_was_served_goes_behind_the_others_of_its_level(desk: _Desk) -> None:
    first, second = desk.consumer(), desk.consumer()

    desk.line.turn(first)

    assert desk.line.next() is second
    assert desk.line.beside(second) == 2


def test_a_higher_priority_is_always_first(desk: _Desk) -> None:
    desk.consumer()
    high = desk.consumer(5)

    desk.line.turn(high)

    assert desk.line.next() is high
    assert desk.line.beside(high) == 1


def test_without_credit_nobody_stands_in_line(desk: _Desk) -> None:
    consumer = desk.consumer(3, credit=0)
    assert desk.line.next() is None
    assert len(desk.line) == 0

    consumer.grant(1)
    assert desk.line.next() is consumer

    consumer.grant(-1)
    assert desk.line.next() is None


async def test_who_comes_back_from_the_disk_has_its_place_again(desk: _Desk) -> None:
    first = desk.waiter()
    desk.waiter()
    desk.line.leave(first)

    desk.line.join(first, first=True)

    assert desk.line.next() is first


def test_a_single_active_consumer_is_the_oldest_of_the_highest_priority(single: _Desk) -> None:
    low, high = single.consumer(), single.consumer(1)

    assert single.line.next() is high

    assert (low.active, high.active) == (False, True)


def test_the_others_wait_while_the_active_one_has_no_credit(single: _Desk) -> None:
    first = single.consumer()
    single.consumer()
    assert single.line.next() is first

    first.grant(-1)

    assert single.line.next() is None


def test_the_next_one_is_active_when_the_active_one_is_cancelled(single: _Desk) -> None:
    first, second = single.consumer(), single.consumer()
    single.idle = False
    assert single.line.next() is first

    first.cancel()

    assert single.line.next() is second
    assert second.active
    assert not first.active


def test_a_higher_priority_takes_over_when_nothing_is_handed_out(single: _Desk) -> None:
    low = single.consumer()
    assert single.line.next() is low
    single.idle = False

    high = single.consumer(1)

    assert single.line.next() is low
    single.idle = True
    assert single.line.next() is high


async def test_a_caller_that_comes_back_is_still_the_active_one(single: _Desk) -> None:
    caller = single.waiter(1)
    assert single.line.next() is caller
    single.line.leave(caller)
    single.idle = False
    other = single.waiter(2)
    assert single.line.next() is None

    again = single.waiter(1)

    assert single.line.next() is again
    single.line.leave(again)
    single.idle = True
    assert single.line.next() is other
