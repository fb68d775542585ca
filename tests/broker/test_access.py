"""Sessions, their credit and the one authoriser."""

import asyncio

import pytest

from isthmus.broker.access import LOCAL, Access, Credit
from isthmus.clock import ManualClock
from isthmus.errors import AccessDenied, Closed, InvalidArgument, Overloaded


class TestCredit:
    def test_what_is_taken_is_given_back(self) -> None:
        credit = Credit(100)

        credit.take(60)
        credit.take(40)
        credit.give(60)

        assert credit.used_bytes == 40

    def test_more_than_the_limit_is_refused_and_changes_nothing(self) -> None:
        credit = Credit(100)
        credit.take(60)

        with pytest.raises(Overloaded, match="100"):
            credit.take(41)

        assert credit.used_bytes == 60

    def test_one_that_is_larger_than_everything_passes_alone(self) -> None:
        credit = Credit(100)

        credit.take(1_000)
        with pytest.raises(Overloaded):
            credit.take(1)
        credit.give(1_000)

        assert credit.used_bytes == 0

    async def test_waiters_go_on_when_half_of_it_is_free(self) -> None:
        clock, credit = ManualClock(), Credit(100)
        credit.take(90)
        waiters = [asyncio.ensure_future(credit.wait()) for _ in range(3)]

        credit.give(30)
        await clock.drain()
        early = [waiter.done() for waiter in waiters]
        credit.give(10)
        await asyncio.gather(*waiters)

        assert early == [False, False, False]

    async def test_a_cancelled_waiter_does_not_keep_the_others_waiting(self) -> None:
        clock, credit = ManualClock(), Credit(100)
        credit.take(100)
        first, second = [asyncio.ensure_future(credit.wait()) for _ in range(2)]
        await clock.drain()

        first.cancel()
        credit.give(100)
        await second

        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_nobody_waits_while_half_of_it_is_free(self) -> None:
        credit = Credit(100)
        credit.take(50)

        await credit.wait()

    def test_a_credit_of_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="let nothing through"):
            Credit(0)


class TestSessions:
    def test_the_process_itself_may_do_everything(self) -> None:
        access = Access()
        session = access.open()

        access.check(session, "publish", "orders")
        access.check(session, "administer", "anything")

        assert session.principal == LOCAL

    def test_nobody_else_is_known(self) -> None:
        with pytest.raises(AccessDenied, match="eve"):
            Access().open("eve")

    def test_sessions_are_told_apart(self) -> None:
        access = Access()

        assert access.open().id != access.open().id

    def test_a_session_that_has_ended_is_closed_for_everything(self) -> None:
        access = Access()
        session = access.open()

        session.end()

        with pytest.raises(Closed, match="session"):
            access.check(session, "publish", "orders")

    def test_those_who_asked_are_told_of_the_end_once(self) -> None:
        session = Access().open()
        told: list[str] = []
        session.on_end(lambda: told.append("first"))
        session.on_end(lambda: told.append("second"))

        session.end()
        session.end()

        assert told == ["first", "second"]

    def test_whoever_asks_after_the_end_is_told_at_once(self) -> None:
        session = Access().open()
        session.end()
        told: list[str] = []

        session.on_end(lambda: told.append("late"))

        assert told == ["late"]
