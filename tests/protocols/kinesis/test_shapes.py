"""The inputs and outputs, held against the service model of AWS's own client library."""

from typing import Any

import botocore.session
import pytest

from isthmus.protocols.kinesis.shapes import ACTIONS
from support.aws import compare

MODEL: Any = botocore.session.get_session().get_service_model("kinesis")

BILLED = {
    "DescribeAccountSettings", "UpdateAccountSettings", "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
}  # fmt: skip
"""Actions about what AWS asks money for, or how it spreads load."""

ELSEWHERE = ("Channel", "Queue")
"""What actions are about that deliver to other services of AWS, or make queues of streams."""


def test_every_action_on_streams_of_the_model_is_here() -> None:
    ours = {name for name in MODEL.operation_names if not any(part in name for part in ELSEWHERE)}

    assert ACTIONS.keys() | BILLED == ours
    assert not ACTIONS.keys() & BILLED


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_inputs_and_outputs_have_the_members_of_the_model(action: str) -> None:
    given, output = ACTIONS[action]
    operation = MODEL.operation_model(action)

    compare(given, operation.input_shape)
    if output is None:
        assert operation.output_shape is None
    elif action == "SubscribeToShard":
        compare(output, MODEL.shape_for("SubscribeToShardEvent"))
    else:
        compare(output, operation.output_shape)
