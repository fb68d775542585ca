"""Patterns, decisions on rights, and users as durable state."""

import re
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker import accounts
from isthmus.broker.users import Rights, fits
from isthmus.definition import Grant, UserDefinition
from isthmus.limits import DECISIONS_KEPT_MAX
from isthmus.log import facts
from support.brokers import World, world


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "name", "fit"),
        [
            ("orders", "orders", True),
            ("orders", "orders2", False),
            ("orders*", "orders", True),
            ("orders*", "orders.eu", True),
            ("*", "", True),
            ("*", "anything", True),
            ("", "", True),
            ("*.dead", "jobs.dead", True),
            ("*.dead", "dead", False),
            ("a*a", "a", False),
            ("a*a", "aa", True),
            ("a*b*c", "a-b-c", True),
            ("a*b*c", "a-c-b", False),
            ("a.c", "abc", False),
            ("[ab]", "a", False),
            ("a?", "ab", False),
            ("a**b", "ab", True),
        ],
    )
    def test_a_star_stands_for_any_text_and_nothing_else_is_special(self, pattern: str, name: str, fit: bool) -> None:
        assert fits(pattern, name) == fit

    @given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
    def test_patterns_fit_what_the_same_expression_fits(self, pattern: str, name: str) -> None:
        expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))

        assert fits(pattern, name) == bool(re.fullmatch(expression, name))

    def test_a_pattern_of_many_stars_takes_no_time(self) -> None:
        assert not fits("a*" * 100 + "b", "a" * 255)


class TestRights:
    def test_who_may_do_anything_with_something_may_see_it(self) -> None:
        rights = Rights(facts.UserSet(1, "ada", (), False, (Grant(operations=("publish",), pattern="orders"),), 0))

        assert rights.allow("describe", "orders")
        assert not rights.allow("describe", "payments")

    def test_grants_add_up_and_are_not_crossed(self) -> None:
        grants = (Grant(operations=("read",), pattern="a"), Grant(operations=("publish",), pattern="b"))
        rights = Rights(facts.UserSet(1, "ada", (), False, grants, 0))

        assert rights.allow("read", "a")
        assert rights.allow("publish", "b")
        assert not rights.allow("read", "b")
        assert not rights.allow("publish", "a")

    def test_a_grant_of_one_namespace_holds_there_and_nowhere_else(self) -> None:
        grants = (
            Grant(operations=("read",), pattern="a", namespace="shop"),
            Grant(operations=("publish",), pattern="b"),
        )
        rights = Rights(facts.UserSet(1, "ada", (), False, grants, 0))

        allowed = {place: rights.allow("read", "a", place) for place in ("shop", "default", "other")}

        assert allowed == {"shop": True, "default": False, "other": False}
        assert rights.allow("publish", "b")
        assert rights.allow("publish", "b", "shop")
        assert [rights.allow_some("read", place) for place in ("shop", "other", None)] == [True, False, True]

    def test_decisions_are_kept_within_a_bound(self) -> None:
        rights = Rights(facts.UserSet(1, "ada", (), False, (Grant(operations=("read",), pattern="a*"),), 0))

        told = [rights.allow("read", f"a{at}") for at in range(3 * DECISIONS_KEPT_MAX)]

        assert all(told)
        assert len(rights._kept) <= DECISIONS_KEPT_MAX


async def populate(w: World) -> None:
    """Two users, of whom one is altered, and a third that is removed and made again."""
    grants = (Grant(operations=("read", "commit"), pattern="orders*"),)
    await accounts.create(w.broker, w.session, UserDefinition(name="ada", grants=grants))
    await accounts.create(w.broker, w.session, UserDefinition(name="root"))
    await accounts.alter(w.broker, w.session, UserDefinition(name="root", admin=True))
    await accounts.create(w.broker, w.session, UserDefinition(name="eve", admin=True))
    await accounts.remove(w.broker, w.session, "eve")
    await accounts.create(w.broker, w.session, UserDefinition(name="eve"))


class TestReplay:
    @pytest.mark.parametrize("again", [World.reopen, World.crash])
    async def test_users_come_back_from_a_checkpoint_and_from_the_journal(
        self, again: Callable[[World], Awaitable[None]]
    ) -> None:
        async with world() as w:
            await populate(w)
            before = accounts.listed(w.broker, w.session), w.broker.access.users.secret, list(w.broker.journal.export())
            next_id = w.broker.catalog.next_id

            await again(w)
            users = w.broker.access.users

            assert (accounts.listed(w.broker, w.session), users.secret) == before[:2]
            assert [(view.name, view.admin) for view in before[0]] == [("ada", False), ("eve", False), ("root", True)]
            assert w.broker.catalog.next_id == next_id

    async def test_facts_applied_again_from_any_earlier_one_end_in_the_same_state(self) -> None:
        async with world() as w:
            grants = (Grant(operations=("read",), pattern="*"),)
            history: list[facts.Fact] = [
                facts.AccessSecret(b"s" * 32),
                facts.UserSet(1, "ada", (), False, grants, 5),
                facts.UserSet(1, "ada", (), True, (), 5),
                facts.UserRemoved(1),
                facts.UserSet(2, "ada", (), False, grants, 6),
                facts.UserSet(3, "eve", (), False, (), 7),
                facts.UserRemoved(3),
            ]
            users, appliers = w.broker.access.users, w.broker.journal.appliers
            for lsn, fact in enumerate(history):
                appliers[type(fact)](fact, lsn)
            state = list(users.export())

            for start in range(len(history)):
                for lsn, fact in enumerate(history[start:], start):
                    appliers[type(fact)](fact, lsn)

                assert list(users.export()) == state
                assert users.by_name == {"ada": history[4]}
                assert users.rights.keys() == {"ada"}

    async def test_a_broker_without_users_keeps_no_secret(self) -> None:
        async with world() as w:
            assert not any(isinstance(fact, facts.AccessSecret) for fact in w.broker.journal.export())
