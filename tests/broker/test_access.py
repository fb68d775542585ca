"""Sessions, their credit and the one authoriser."""

import asyncio
from typing import get_args

import pytest

from isthmus import scram
from isthmus.broker.access import ANYONE, LOCAL, Access, Credit
from isthmus.broker.users import Rights, Users
from isthmus.clock import ManualClock
from isthmus.definition import Grant, Operation
from isthmus.errors import AccessDenied, Closed, InvalidArgument, Overloaded
from isthmus.log import facts
from isthmus.log.journal import Journal
from isthmus.log.storage import MemoryStorage


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


def users(*asked: tuple[str, bool, tuple[Grant, ...]]) -> Users:
    """Users by name, whether an administrator, and grants; their ids count from 1."""
    known = Users()
    journal = Journal(MemoryStorage(), ManualClock())
    known.attach(journal, lambda _: None)
    for at, (name, admin, grants) in enumerate(asked, 1):
        journal.appliers[facts.UserSet](facts.UserSet(at, name, (), admin, grants, 0), at)
    return known


READER = ("ada", False, (Grant(operations=("read",), pattern="orders*"),))
ADMIN = ("root", True, ())


class TestUsers:
    def test_a_user_may_do_what_a_grant_says_and_nothing_else(self) -> None:
        access = Access(users(READER))
        session = access.open("ada")

        access.check(session, "read", "orders.eu")

        assert (session.principal, session.principal_id) == ("ada", 1)
        assert access.allows(session, "describe", "orders")
        refused: list[tuple[Operation, str]] = [("publish", "orders"), ("read", "payments"), ("read", "an orders")]
        for operation, resource in refused:
            assert not access.allows(session, operation, resource)
            with pytest.raises(AccessDenied, match=f"'ada' may not {operation} '{resource}'"):
                access.check(session, operation, resource)

    def test_several_names_are_all_asked_for(self) -> None:
        access = Access(users(READER))
        session = access.open("ada")

        access.check_all(session, "read", ["orders", "orders.eu"])

        with pytest.raises(AccessDenied, match="payments"):
            access.check_all(session, "read", ["orders", "payments"])

    def test_an_administrator_may_do_everything(self) -> None:
        access = Access(users(ADMIN))
        session = access.open("root")

        access.check(session, "remove", "anything")
        access.check_admin(session)

        assert access.allows_some(session, "create")

    def test_only_administrators_and_the_owner_see_to_users(self) -> None:
        access = Access(users(("ada", False, (Grant(operations=get_args(Operation), pattern="*"),)), ADMIN))

        access.check_admin(access.open())

        with pytest.raises(AccessDenied, match="'ada' may not administer 'users'"):
            access.check_admin(access.open("ada"))

    def test_whether_there_is_anything_to_do_that_with_is_told(self) -> None:
        access = Access(users(READER))
        session = access.open("ada")

        assert access.allows_some(session, "read")
        assert access.allows_some(session, "describe")
        assert not access.allows_some(session, "publish")
        assert access.allows_some(access.open(), "publish")

    def test_a_session_of_a_user_that_is_gone_may_do_nothing_though_another_has_its_name(self) -> None:
        known = users(READER)
        access = Access(known)
        session = access.open("ada")

        known.rights["ada"] = Rights(facts.UserSet(9, "ada", (), True, (), 0))

        assert not access.allows(session, "read", "orders")
        assert not access.allows_some(session, "read")
        with pytest.raises(AccessDenied):
            access.check_admin(session)

    def test_an_ended_session_may_do_nothing(self) -> None:
        access = Access(users(ADMIN))
        session = access.open("root")

        session.end()

        assert not access.allows(session, "read", "orders")
        assert not access.allows_some(session, "read")
        for check in (access.check_admin, lambda each: access.check(each, "read", "orders")):
            with pytest.raises(Closed):
                check(session)

    def test_the_sessions_of_a_user_are_known_as_long_as_they_last(self) -> None:
        access = Access(users(READER))
        first, second = access.open("ada"), access.open("ada")

        first.end()
        known = access.sessions_of("ada")
        second.end()

        assert known == [second]
        assert access.sessions_of("ada") == []


class TestPeers:
    def test_the_owner_is_who_it_is_whatever_users_there_are(self) -> None:
        for access in (Access(), Access(users(READER))):
            assert access.principal_of(host="", user=None, trusted=True) == LOCAL

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_without_users_whoever_is_on_this_machine_may_do_everything_until_there_is_one(self, host: str) -> None:
        known = Users()
        access = Access(known)
        principal = access.principal_of(host=host, user=None, trusted=False)
        session = access.open(principal or "")
        access.check(session, "publish", "orders")
        access.check_admin(session)
        assert access.allows_some(session, "publish")

        known.by_name["ada"] = facts.UserSet(1, "ada", (), False, (), 0)

        assert access.principal_of(host=host, user=None, trusted=False) is None
        assert not access.allows(session, "publish", "orders")
        with pytest.raises(AccessDenied):
            access.check_admin(session)
        with pytest.raises(AccessDenied):
            access.open(ANYONE)

    @pytest.mark.parametrize("host", ["", "192.0.2.7"])
    def test_peers_from_elsewhere_have_to_log_in_unless_the_operator_lets_everybody_in(self, host: str) -> None:
        access = Access()
        before = access.principal_of(host=host, user=None, trusted=False)

        access.insecure = True

        assert (before, access.principal_of(host=host, user=None, trusted=False)) == (None, ANYONE)

    def test_a_certificate_that_names_a_user_is_that_user_and_another_is_nobody(self) -> None:
        access = Access(users(READER))

        assert access.guarded
        assert access.principal_of(host="192.0.2.7", user="ada", trusted=False) == "ada"
        assert access.principal_of(host="127.0.0.1", user="eve", trusted=False) is None

    def test_a_certificate_cannot_take_the_owners_name(self) -> None:
        access = Access(users(READER))

        assert access.principal_of(host="192.0.2.7", user=LOCAL, trusted=False) is None
        assert access.principal_of(host="192.0.2.7", user=ANYONE, trusted=False) is None


class TestLogins:
    def test_a_decoy_is_always_the_same_and_nobody_knows_its_password(self) -> None:
        access = Access()
        first, other = access.decoy("eve", "SCRAM-SHA-512"), access.decoy("eva", "SCRAM-SHA-512")

        scram.check_credential(first)

        assert first == access.decoy("eve", "SCRAM-SHA-512")
        assert first.salt != other.salt
        assert not scram.knows(first, "eve")

    def test_another_broker_makes_other_decoys(self) -> None:
        assert Access().decoy("eve", "SCRAM-SHA-256") != Access().decoy("eve", "SCRAM-SHA-256")

    def test_a_credential_is_given_for_its_mechanism_only(self) -> None:
        known = users(READER)
        (one, other) = scram.credentials("pencil", lambda: b"salt" * 4)
        known.by_name["ada"] = facts.UserSet(1, "ada", (one,), False, (), 0)
        access = Access(known)

        assert access.scram("ada", one.mechanism) is one
        assert access.scram("ada", other.mechanism) is None
        assert access.scram("eve", one.mechanism) is None

    def test_nonces_differ_and_have_no_comma(self) -> None:
        nonces = {Access().nonce() for _ in range(50)}

        assert len(nonces) == 50
        assert not any("," in each for each in nonces)
