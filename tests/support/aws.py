"""Structs of an AWS door held against the service model of AWS's own client library."""

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec


def members_of(struct: type[Any]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def inner(found: Any) -> Any:  # noqa: ANN401 - a type, whatever it is
    """The struct within a list, a map or an optional."""
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return found
    return next((one for one in map(inner, getattr(found, "__args__", ())) if one is not None), None)


def compare(struct: type[Any], shape: Any, unused: AbstractSet[str] = frozenset()) -> None:  # noqa: ANN401 - untyped
    """Whether a struct has the members of a shape of the model, and theirs, except unused ones."""
    has = members_of(struct)
    assert has.keys() == shape.members.keys() - unused
    for name, member in shape.members.items():
        if name in unused:
            continue
        while member.type_name in {"list", "map"}:
            member = member.member if member.type_name == "list" else member.value  # noqa: PLW2901
        if member.type_name == "structure":
            compare(inner(has[name]), member, unused)
