"""Making, changing and removing users, what cannot be one, and what becomes of their sessions."""

from typing import Any

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.access import ANYONE
from isthmus.definition import Grant, ScramCredential, UserDefinition
from isthmus.errors import (
    AccessDenied,
    AlreadyExists,
    BeingChanged,
    Closed,
    InvalidArgument,
    InvalidName,
    UnknownUser,
)
from isthmus.limits import GRANTS_MAX
from support.brokers import World, world

READ = Grant(operations=("read",), pattern="orders")


async def create(w: World, name: str = "ada", **fields: Any) -> None:
    await accounts.create(w.broker, w.session, UserDefinition(name=name, **fields))


def password(text: str) -> tuple[ScramCredential, ...]:
    return scram.credentials(text, lambda: b"salt" * 4)


class TestCreate:
    async def test_a_user_is_shown_without_what_is_kept_of_its_password(self) -> None:
        async with world() as w:
            await create(w, scrams=password("pencil"), grants=(READ,))

            (view,) = accounts.listed(w.broker, w.session)

            assert (view.name, view.admin, view.grants, view.created_ms) == ("ada", False, (READ,), w.clock.now_ms())
            assert view.mechanisms == ("SCRAM-SHA-256", "SCRAM-SHA-512")
            assert "key" not in repr(view)

    async def test_a_name_is_given_once(self) -> None:
        async with world() as w:
            await create(w)

            with pytest.raises(AlreadyExists, match="user 'ada'"):
                await create(w)

    async def test_a_user_that_is_being_made_is_not_made_twice(self) -> None:
        async with world() as w:
            w.broker.catalog.making["user", "", "ada"] = w.broker.journal.unit().pending

            with pytest.raises(BeingChanged):
                await create(w)

            w.broker.catalog.making.clear()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("local", "let in without a user"),
            ("anyone", "let in without a user"),
            ("", "empty"),
            ("a\x07", "control"),
            ("a\u0301da", "write '\u00e1da'"),
            ("x" * 256, "256 bytes"),
        ],
    )
    async def test_a_name_that_nobody_can_have_is_refused(self, name: str, message: str) -> None:
        async with world() as w:
            with pytest.raises(InvalidName, match=message):
                await create(w, name)

            assert not w.broker.access.guarded

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"grants": (READ,) * (GRANTS_MAX + 1)}, "are more than"),
            ({"grants": (Grant(operations=(), pattern="orders"),)}, "nothing is no operation"),
            ({"grants": (Grant(operations=("fly",), pattern="orders"),)}, "fly is no operation"),  # type: ignore[arg-type]
            ({"scrams": password("a")[:1] * 2}, "there twice"),
            ({"scrams": scram.credentials("a", lambda: b"short")}, "has 5 bytes"),
        ],
    )
    async def test_rights_and_credentials_that_cannot_be_are_refused(
        self, fields: dict[str, Any], message: str
    ) -> None:
        async with world() as w:
            with pytest.raises(InvalidArgument, match=message):
                await create(w, **fields)

    async def test_an_empty_pattern_is_refused(self) -> None:
        async with world() as w:
            with pytest.raises(InvalidName, match="empty"):
                await create(w, grants=(Grant(operations=("read",), pattern=""),))


class TestAlter:
    async def test_rights_change_at_once_and_a_password_that_is_not_named_stays(self) -> None:
        async with world() as w:
            await create(w, scrams=password("pencil"), grants=(READ,))
            session = w.broker.session("ada")

            await accounts.alter(w.broker, w.session, UserDefinition(name="ada"))

            assert w.broker.access.scram("ada", "SCRAM-SHA-256") == password("pencil")[0]
            assert not session.ended
            assert not w.broker.access.allows(session, "read", "orders")

    async def test_with_another_password_the_sessions_end(self) -> None:
        async with world() as w:
            await create(w, scrams=password("pencil"))
            session = w.broker.session("ada")
            told: list[str] = []
            session.on_end(lambda: told.append("over"))

            await accounts.alter(w.broker, w.session, UserDefinition(name="ada", scrams=password("other")))

            assert (session.ended, told) == (True, ["over"])
            w.broker.session("ada")

    async def test_an_unknown_user_is_named(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownUser, match="'ada'"):
                await accounts.alter(w.broker, w.session, UserDefinition(name="ada"))


class TestRemove:
    async def test_the_sessions_of_a_removed_user_end_and_those_of_others_do_not(self) -> None:
        async with world() as w:
            await create(w)
            await create(w, "eve")
            gone, stays = w.broker.session("ada"), w.broker.session("eve")

            await accounts.remove(w.broker, w.session, "ada")

            assert (gone.ended, stays.ended) == (True, False)
            with pytest.raises(AccessDenied):
                w.broker.session("ada")
            with pytest.raises(Closed):
                w.broker.access.check(gone, "read", "orders")

    async def test_an_unknown_user_is_named(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownUser, match="'ada'"):
                await accounts.remove(w.broker, w.session, "ada")


async def test_with_the_first_user_everybody_who_was_let_in_without_one_has_to_come_again() -> None:
    async with world() as w:
        guest = w.broker.session(ANYONE)

        await create(w)

        assert guest.ended
        assert not w.session.ended
        with pytest.raises(AccessDenied):
            w.broker.session(ANYONE)
