"""Which of Kafka's operations a caller may do on something, as the bits that describing requests answer.

It asks the one authoriser and decides nothing.
"""

from collections.abc import Mapping
from typing import Final

from isthmus.definition import Operation
from isthmus.protocols.kafka.handlers.call import Call

NOT_ASKED: Final = -(2**31)
"""What stands where nobody asked."""

READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE = 3, 4, 5, 6, 7, 8
CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE = 9, 10, 11, 12

GROUP_OPERATIONS: Final[Mapping[int, Operation]] = {READ: "consume", DELETE: "administer", DESCRIBE: "describe"}
TOPIC_OPERATIONS: Final[Mapping[int, Operation]] = {
    READ: "read",
    WRITE: "publish",
    CREATE: "create",
    DELETE: "remove",
    ALTER: "alter",
    DESCRIBE: "describe",
    DESCRIBE_CONFIGS: "describe",
    ALTER_CONFIGS: "alter",
}


def operations(call: Call, each: Mapping[int, Operation], resource: str) -> int:
    """One bit for each operation that the caller may do."""
    return sum(1 << code for code, operation in each.items() if call.allows(operation, resource))
