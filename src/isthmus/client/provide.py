"""Dependencies by type: who asks for a type gets what the function that provides it returned.

`Providers` is what an app declares, checked at import; `Provided` is what one run of the app made of it: each made
once, kept for the app's life, taken down in reverse. Neither knows events or handlers.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from isthmus.client.signature import MISSING, Signature, Value, shown, signature_of
from isthmus.errors import DeclarationError, InvariantError

Function = Callable[..., Any]


class Provider:
    """A function that provides a type, and the types that it needs itself."""

    __slots__ = ("function", "needs", "provides", "signature")

    def __init__(self, function: Function, signature: Signature, needs: tuple[object, ...]) -> None:
        self.function = function
        self.signature = signature
        self.provides = signature.returns
        self.needs = needs


class Providers:
    """The types that an app can hand out: those that functions provide, and `given` ones that every run brings."""

    def __init__(self, given: Iterable[object] = ()) -> None:
        self._given = frozenset(given)
        self._providers: dict[object, Provider] = {}

    def add(self, function: Function) -> None:
        """Declare a function: its return annotation is the type, its parameters are what it needs (also later ones).

        Raises:
            DeclarationError: no return annotation, a type that is provided already, or a circle of needs.
        """
        signature = signature_of(function, "provider")
        if signature.returns in (MISSING, None, type(None)):
            raise DeclarationError(
                f"provider {signature.name}: annotate what it returns; that type is what it provides"
            )
        other = self._providers.get(signature.returns)
        if other is not None or signature.returns in self._given:
            by = other.signature.name if other is not None else "the app itself"
            raise DeclarationError(
                f"provider {signature.name}: {shown(signature.returns)} is provided by {by} already; give one of them a"
                " type of its own"
            )
        provider = Provider(function, signature, needed(signature))
        self._providers[signature.returns] = provider
        try:
            self._refuse_circle(provider)
        except DeclarationError:
            del self._providers[signature.returns]
            raise

    def __contains__(self, wanted: object) -> bool:
        return wanted in self._given or wanted in self._providers

    def check(self, wanted: object, whose: str) -> None:
        """Make sure that a type can be handed out, with all that it needs in turn.

        Raises:
            DeclarationError: says which type nobody provides.
        """
        for each in self._chain(wanted):
            if each not in self:
                known = ", ".join(sorted(map(shown, [*self._given, *self._providers])))
                raise DeclarationError(
                    f"{whose}: nobody provides {shown(each)}; declare a function that returns it with @app.provide"
                    f" above it (provided: {known or 'nothing'})"
                )

    def order(self, wanted: Iterable[object]) -> list[Provider]:
        """The providers that these types need, each after those that it needs itself."""
        found: dict[object, Provider] = {}
        for each in wanted:
            for step in self._chain(each):
                if step in self._providers:
                    found.setdefault(step, self._providers[step])
        return list(found.values())

    def _chain(self, wanted: object) -> Iterator[object]:
        """A type after all that it needs."""
        provider = self._providers.get(wanted)
        for each in provider.needs if provider is not None else ():
            yield from self._chain(each)
        yield wanted

    def _refuse_circle(self, new: Provider) -> None:
        open_ways: list[tuple[object, ...]] = [(new.provides,)]
        while open_ways:
            way = open_ways.pop()
            provider = self._providers.get(way[-1])
            for each in provider.needs if provider is not None else ():
                if each == new.provides:
                    circle = " needs ".join(map(shown, (*way, each)))
                    raise DeclarationError(f"provider {new.signature.name}: {circle}; break the circle")
                if each not in way:
                    open_ways.append((*way, each))


def needed(signature: Signature) -> tuple[object, ...]:
    """The types of the parameters that must be given."""
    return tuple(each.annotation for each in signature.parameters if not each.optional)


class Provided:
    """What the providers of one run made. Belongs to one event loop."""

    def __init__(self, providers: Providers, given: Mapping[object, object]) -> None:
        self._providers = providers
        self._made: dict[object, object] = dict(given)
        self._open: list[AbstractContextManager[object] | AbstractAsyncContextManager[object]] = []

    async def make(self, wanted: Iterable[object]) -> None:
        """Make what these types need, unless it has been made, one after the other.

        Raises:
            Exception: whatever a provider raises.
        """
        for provider in self._providers.order(wanted):
            if provider.provides not in self._made:
                self._made[provider.provides] = await self._call(provider)

    def __getitem__(self, wanted: object) -> Value:
        """What was made for a type."""
        if wanted not in self._made:
            raise InvariantError(f"{shown(wanted)} was asked for before it was made")
        return self._made[wanted]

    async def call(self, function: Function, signature: Signature) -> Value:
        """Call a function with what its parameters ask for, and wait for its result."""
        await self.make(needed(signature))
        result = self._apply(function, signature)
        return await result if signature.is_async else result

    def _apply(self, function: Function, signature: Signature) -> Value:
        args = [self[p.annotation] for p in signature.parameters if not p.optional and not p.keyword]
        named = {p.name: self[p.annotation] for p in signature.parameters if not p.optional and p.keyword}
        return function(*args, **named)

    async def _call(self, provider: Provider) -> object:
        result = self._apply(provider.function, provider.signature)
        if not provider.signature.is_generator:
            return await result if provider.signature.is_async else result
        if provider.signature.is_async:
            awaited = contextlib.asynccontextmanager(lambda: result)()
            made = await awaited.__aenter__()
            self._open.append(awaited)
        else:
            context = contextlib.contextmanager(lambda: result)()
            made = context.__enter__()
            self._open.append(context)
        return made

    async def close(self) -> None:
        """Run what generators have after their `yield`, the last made first, each whatever became of the others.

        Raises:
            Exception: what one raised; an ExceptionGroup when several did.
        """
        errors: list[Exception] = []
        while self._open:
            context = self._open.pop()
            try:
                if isinstance(context, AbstractAsyncContextManager):
                    await context.__aexit__(None, None, None)
                else:
                    context.__exit__(None, None, None)
            except Exception as error:  # noqa: BLE001 - users' code; all of it is raised below
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several providers failed at the end", errors)
