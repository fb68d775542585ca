"""Models of pydantic as events: how they become JSON and come back.

It needs the extra `pydantic` and is imported when a destination carries a model. Type names, keys and headers are those
of all events (`event.py`).
"""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from isthmus.errors import DeclarationError


def encoder(model: type[BaseModel]) -> Callable[[Any], bytes]:
    """From a model to its JSON, by the names that it is validated by.

    What it makes raises ValueError where a field holds what its annotation forbids.

    Raises:
        DeclarationError: the model names types that do not exist.
    """
    _complete(model)

    def encode(event: BaseModel) -> bytes:
        return event.model_dump_json(by_alias=True, round_trip=True, warnings="error").encode()

    return encode


def decoder(model: type[BaseModel]) -> Callable[[bytes], Any]:
    """From JSON to a model that was validated. What it makes raises ValueError for what does not fit.

    Raises:
        DeclarationError: the model names types that do not exist.
    """
    _complete(model)
    return model.model_validate_json


def _complete(model: type[BaseModel]) -> None:
    try:
        model.model_rebuild()
    except (PydanticUserError, NameError) as error:
        raise DeclarationError(f"model {model.__name__} is not complete: {error}") from error
