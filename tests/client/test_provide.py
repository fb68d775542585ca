"""Dependencies by type: declared, checked, made once, taken down in reverse."""

from collections.abc import AsyncIterator, Iterator

import pytest

from isthmus.client.provide import Provided, Providers
from isthmus.errors import DeclarationError, InvariantError


class Settings: ...


class Database:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Mailer:
    def __init__(self, database: Database | None = None) -> None:
        self.database = database


def settings() -> Settings:
    return Settings()


async def database(settings: Settings) -> Database:
    return Database(settings)


def mailer(database: Database) -> Mailer:
    return Mailer(database)


async def made(providers: Providers, *wanted: object) -> Provided:
    provided = Provided(providers, {})
    await provided.make(wanted)
    return provided


async def test_what_a_function_returns_is_handed_out_by_its_type() -> None:
    providers = Providers()
    providers.add(settings)

    provided = await made(providers, Settings)

    assert isinstance(provided[Settings], Settings)


async def test_dependencies_of_dependencies_are_made_first_and_once() -> None:
    providers = Providers()
    for each in (mailer, database, settings):  # in any order
        providers.add(each)

    provided = await made(providers, Mailer, Database, Mailer)

    assert provided[Mailer].database is provided[Database]
    assert provided[Database].settings is provided[Settings]


async def test_what_nobody_asks_for_is_not_made() -> None:
    providers = Providers()
    providers.add(settings)
    provided = await made(providers)

    with pytest.raises(InvariantError):
        provided[Settings]


async def test_a_run_brings_types_of_its_own() -> None:
    providers = Providers([Settings])
    providers.add(database)
    ours = Settings()
    provided = Provided(providers, {Settings: ours})

    await provided.make([Database])

    assert provided[Database].settings is ours


async def test_generators_are_taken_down_in_reverse() -> None:
    happened: list[str] = []

    def a() -> Iterator[Settings]:
        happened.append("settings up")
        yield Settings()
        happened.append("settings down")

    async def b(settings: Settings) -> AsyncIterator[Database]:
        happened.append("database up")
        yield Database(settings)
        happened.append("database down")

    providers = Providers()
    providers.add(a)
    providers.add(b)
    provided = await made(providers, Database)
    assert isinstance(provided[Database], Database)

    await provided.close()

    assert happened == ["settings up", "database up", "database down", "settings down"]


async def test_what_a_provider_raises_comes_out() -> None:
    def broken() -> Settings:
        raise ValueError("no such host")

    providers = Providers()
    providers.add(broken)

    with pytest.raises(ValueError, match="no such host"):
        await made(providers, Settings)


async def test_a_failing_take_down_does_not_stop_the_others() -> None:
    happened: list[str] = []

    def a() -> Iterator[Settings]:
        yield Settings()
        happened.append("settings down")

    def b(settings: Settings) -> Iterator[Database]:
        yield Database(settings)
        raise ValueError("stuck")

    providers = Providers()
    providers.add(a)
    providers.add(b)
    provided = await made(providers, Database)

    with pytest.raises(ValueError, match="stuck"):
        await provided.close()

    assert happened == ["settings down"]


async def test_a_function_is_called_with_what_it_asks_for() -> None:
    def hook(one: Settings, limit: int = 3, *, two: Database) -> tuple[Settings, int, Database]:
        return one, limit, two

    from isthmus.client.signature import signature_of

    providers = Providers()
    providers.add(settings)
    providers.add(database)
    provided = Provided(providers, {})

    one, limit, two = await provided.call(hook, signature_of(hook, "hook"))

    assert (one, limit, two) == (provided[Settings], 3, provided[Database])


def test_a_circle_of_needs_is_refused_when_it_closes() -> None:
    def a(database: Database) -> Settings:
        return database.settings

    providers = Providers()
    providers.add(a)

    with pytest.raises(DeclarationError, match="Database needs Settings needs Database"):
        providers.add(database)

    assert Database not in providers


def test_a_provider_that_needs_itself_is_a_circle() -> None:
    def a(settings: Settings) -> Settings:
        return settings

    with pytest.raises(DeclarationError, match="Settings needs Settings"):
        Providers().add(a)


def test_a_type_has_one_provider() -> None:
    def other() -> Settings:
        return Settings()

    providers = Providers()
    providers.add(settings)

    with pytest.raises(DeclarationError, match=r"provided by .*settings already"):
        providers.add(other)
    with pytest.raises(DeclarationError, match="provided by the app itself already"):
        Providers([Settings]).add(settings)


def test_a_provider_says_what_it_returns() -> None:
    def nameless():  # type: ignore[no-untyped-def]  # noqa: ANN202 - what is tested
        return Settings()

    def nothing() -> None: ...

    for each in (nameless, nothing):
        with pytest.raises(DeclarationError, match="annotate what it returns"):
            Providers().add(each)


def test_what_nobody_provides_is_named_also_when_it_is_needed_in_turn() -> None:
    providers = Providers()
    providers.add(database)

    with pytest.raises(DeclarationError, match=r"handler x: nobody provides Settings.*provided: Database"):
        providers.check(Database, "handler x")
    with pytest.raises(DeclarationError, match="nobody provides Mailer"):
        providers.check(Mailer, "handler x")
