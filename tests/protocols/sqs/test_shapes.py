"""The inputs and outputs, held against the service model of AWS's own client library."""

from typing import Any

import botocore.session
import msgspec
import pytest

from isthmus.protocols.sqs.shapes import ACTIONS

MODEL: Any = botocore.session.get_session().get_service_model("sqs")

UNUSED = {"StringListValues", "BinaryListValues"}
"""Members that the service itself says it does not implement."""

LATER = {"CancelMessageMoveTask", "ListMessageMoveTasks", "StartMessageMoveTask"}
"""Actions that follow."""


def members_of(struct: type[Any]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def inner(found: Any) -> Any:  # noqa: ANN401 - a type, whatever it is
    """The struct within a list, a map or an optional."""
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return found
    return next((one for one in map(inner, getattr(found, "__args__", ())) if one is not None), None)


def compare(struct: type[Any], shape: Any) -> None:  # noqa: ANN401 - the model has no types
    has = members_of(struct)
    assert has.keys() == shape.members.keys() - UNUSED
    for name, member in shape.members.items():
        if name in UNUSED:
            continue
        while member.type_name in {"list", "map"}:
            member = member.member if member.type_name == "list" else member.value  # noqa: PLW2901
        if member.type_name == "structure":
            compare(inner(has[name]), member)


def test_every_action_of_the_model_is_here() -> None:
    assert {*ACTIONS, *LATER} == set(MODEL.operation_names)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_inputs_and_outputs_have_the_members_of_the_model(action: str) -> None:
    given, output = ACTIONS[action]
    operation = MODEL.operation_model(action)

    compare(given, operation.input_shape)
    if output is None:
        assert operation.output_shape is None
    else:
        compare(output, operation.output_shape)
