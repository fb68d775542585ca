"""The inputs and outputs, held against the service model of AWS's own client library."""

from typing import Any

import botocore.session
import pytest

from isthmus.protocols.sqs.shapes import ACTIONS
from support.aws import compare

MODEL: Any = botocore.session.get_session().get_service_model("sqs")

UNUSED = {"StringListValues", "BinaryListValues"}
"""Members that the service itself says it does not implement."""

LATER = {"CancelMessageMoveTask", "ListMessageMoveTasks", "StartMessageMoveTask"}
"""Actions that follow."""


def test_every_action_of_the_model_is_here() -> None:
    assert {*ACTIONS, *LATER} == set(MODEL.operation_names)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_inputs_and_outputs_have_the_members_of_the_model(action: str) -> None:
    given, output = ACTIONS[action]
    operation = MODEL.operation_model(action)

    compare(given, operation.input_shape, UNUSED)
    if output is None:
        assert operation.output_shape is None
    else:
        compare(output, operation.output_shape, UNUSED)
