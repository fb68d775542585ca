"""Errors over the wire: the same class, the same sentence, the same fields."""

import inspect

import pytest

from isthmus import errors
from isthmus.protocols.native import codec
from isthmus.protocols.native.errors import KNOWN, StaleDelivery, error_of, refusal
from isthmus.protocols.native.schema import Refused

MADE = {
    int: 7,
    str: "x",
    bool: True,
}


def made(kind: type[errors.IsthmusError]) -> errors.IsthmusError:
    """One with a value for each argument."""
    arguments = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name == "self" or parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            continue
        arguments[name] = MADE.get(
            parameter.annotation, ("a", "b") if "Sequence" in str(parameter.annotation) else None
        )
    return kind(**arguments)


@pytest.mark.parametrize("kind", KNOWN.values(), ids=KNOWN)
def test_every_error_arrives_as_it_was(kind: type[errors.IsthmusError]) -> None:
    error = made(kind)
    frame = codec.encode(1, refusal(error))
    answer = codec.decode_answer(frame[codec.HEADER.size :])
    assert isinstance(answer, Refused)

    arrived = error_of(answer)

    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_every_class_that_callers_may_get_can_travel() -> None:
    kinds = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.IsthmusError)
    }

    assert kinds - KNOWN.keys() == {"IsthmusError", "InvariantError"}


def test_a_stale_delivery_names_its_token() -> None:
    arrived = error_of(refusal(StaleDelivery(7)))

    assert isinstance(arrived, StaleDelivery)
    assert arrived.token == 7


@pytest.mark.parametrize("bug", [ZeroDivisionError("secret"), errors.InvariantError("secret")])
def test_of_a_bug_nothing_is_told(bug: Exception) -> None:
    arrived = error_of(refusal(bug))

    assert isinstance(arrived, errors.EngineError)
    assert not arrived.retryable
    assert "secret" not in str(arrived)


def test_a_class_that_is_not_known_keeps_its_sentence() -> None:
    arrived = error_of(Refused("FromTheFuture", "not yet", {"_x": 1, "when": "later"}))

    assert isinstance(arrived, errors.EngineError)
    assert str(arrived) == "FromTheFuture: not yet"


def test_hidden_fields_are_not_set() -> None:
    arrived = error_of(Refused("UnknownTopic", "no topic", {"_x": 1, "name": "a"}))

    assert vars(arrived) == {"name": "a"}
