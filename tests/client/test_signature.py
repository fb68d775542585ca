"""Reading what a function takes and gives."""

import functools
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from isthmus.client.signature import MISSING, shown, signature_of
from isthmus.errors import DeclarationError

if TYPE_CHECKING:
    from decimal import Decimal


def test_parameters_come_with_their_types_and_kinds() -> None:
    def function(a: int, b: Annotated[str, "said"] = "x", *, c: bytes) -> float: ...  # type: ignore[empty-body]

    signature = signature_of(function, "handler")

    assert [tuple(each) for each in signature.parameters] == [
        ("a", int, False, False),
        ("b", str, True, False),
        ("c", bytes, False, True),
    ]
    assert signature.returns is float
    assert not signature.is_async
    assert signature.name.endswith("test_parameters_come_with_their_types_and_kinds.<locals>.function")


def test_a_method_comes_without_self() -> None:
    class Owner:
        async def handle(self, a: int) -> None: ...

    signature = signature_of(Owner().handle, "handler")

    assert [each.name for each in signature.parameters] == ["a"]
    assert signature.is_async


def test_a_generator_gives_what_it_yields() -> None:
    def one() -> Generator[int]:
        yield 1

    async def two() -> AsyncIterator[str]:
        yield ""

    assert signature_of(one, "provider")[2:] == (int, False, True)
    assert signature_of(two, "provider")[2:] == (str, True, True)


def test_a_missing_return_annotation_is_told_from_none() -> None:
    def silent():  # type: ignore[no-untyped-def]  # noqa: ANN202 - what is tested
        ...

    def nothing() -> None: ...

    assert signature_of(silent, "handler").returns is MISSING
    assert signature_of(nothing, "handler").returns is type(None)


def _refused() -> list[tuple[Callable[..., Any], str]]:
    def bare(a) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - what is tested
        ...

    def star(*a: int) -> None: ...

    def only(a: int, /) -> None: ...

    def late(a: "Decimal") -> None: ...

    def yields() -> int:  # type: ignore[misc]
        yield 1

    return [
        (bare, "parameter 'a' has no annotation"),
        (star, "use ordinary parameters"),
        (only, "use ordinary parameters"),
        (late, "its annotations cannot be read: name 'Decimal' is not defined"),
        (yields, "annotate what, as Iterator"),
        (functools.partial(star), "is no function or method"),
        (int, "is no function or method"),
    ]


@pytest.mark.parametrize(("function", "sentence"), _refused())
def test_what_cannot_be_read_is_refused_with_what_to_do(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(DeclarationError, match=sentence):
        signature_of(function, "handler")


def test_types_are_shown_as_people_write_them() -> None:
    assert [shown(int), shown(list[int]), shown(int | None)] == ["int", "list[int]", "int | None"]
