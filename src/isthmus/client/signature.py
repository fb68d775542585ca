"""What a user's function takes and gives, read from its annotations when it is declared.

It knows functions and types, no events and no engine. What cannot be read is refused here with what to write instead.
"""

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Final, NamedTuple

from isthmus.errors import DeclarationError

Value = Any
"""Whatever users' functions take and give: types of theirs, which no type of ours can name."""

MISSING: Final = inspect.Parameter.empty
_YIELDS: Final = (AsyncGenerator, AsyncIterator, Generator, Iterator)


class Parameter(NamedTuple):
    """One parameter: `optional` has a default, `keyword` can only be given by name."""

    name: str
    annotation: object
    optional: bool
    keyword: bool


class Signature(NamedTuple):
    """A function as it was declared. `returns` is MISSING without an annotation; of a generator what it yields."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: object
    is_async: bool
    is_generator: bool


def signature_of(function: Callable[..., Any], role: str) -> Signature:
    """Read a function's signature; `role` is what it is declared as, for the errors.

    Raises:
        DeclarationError: it is no plain function or method, an annotation is missing or names something unknown, or
            it takes `*args`, `**kwargs` or positional-only parameters.
    """
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise DeclarationError(f"{role}: {function!r} is no function or method; wrap it in one")
    name = f"{function.__module__}.{function.__qualname__}"
    hints = _hints(function, f"{role} {name}")
    found = inspect.signature(function)
    generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    returns = hints.get("return", MISSING)
    return Signature(
        name=name,
        parameters=tuple(_parameter(each, hints, f"{role} {name}") for each in found.parameters.values()),
        returns=_yielded(returns, f"{role} {name}") if generator else returns,
        is_async=inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function),
        is_generator=generator,
    )


def _hints(function: Callable[..., Any], whose: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        raise DeclarationError(
            f"{whose}: its annotations cannot be read: {error}; the names in them must be imported in its module, not"
            " only for type checking, and not be local to a function"
        ) from error


def _parameter(each: inspect.Parameter, hints: dict[str, Any], whose: str) -> Parameter:
    if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
        raise DeclarationError(f"{whose} takes {each}; use ordinary parameters, each with the type of what it gets")
    optional = each.default is not MISSING
    if each.name not in hints and not optional:
        raise DeclarationError(f"{whose}: parameter {each.name!r} has no annotation; its type says what it gets")
    return Parameter(each.name, hints.get(each.name, MISSING), optional, each.kind is each.KEYWORD_ONLY)


def _yielded(returns: object, whose: str) -> object:
    if typing.get_origin(returns) not in _YIELDS:
        raise DeclarationError(f"{whose} yields; annotate what, as Iterator[...] or AsyncIterator[...]")
    return typing.get_args(returns)[0]


def shown(annotation: object) -> str:
    """A type as people write it."""
    return (
        annotation.__qualname__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)
    )
