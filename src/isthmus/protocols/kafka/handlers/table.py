"""Which handler answers which API. What is not here is not served, and not advertised.

Transactions (24 to 28), the new group protocol (68, 69) and share groups (76 to 79, 90 to 92) get their rows when they
come; logins and ApiVersions belong to the connection (`service.py`).
"""

from typing import Final

from isthmus.protocols.kafka.handlers import (
    acls,
    cluster,
    commits,
    configs,
    fetch,
    group_admin,
    groups,
    metadata,
    offsets,
    produce,
    topics,
)
from isthmus.protocols.kafka.handlers.call import Handler

HANDLERS: Final[dict[int, Handler]] = {
    0: produce.produce,
    1: fetch.fetch,
    2: offsets.list_offsets,
    3: metadata.metadata,
    8: commits.offset_commit,
    9: commits.offset_fetch,
    10: groups.find_coordinator,
    11: groups.join_group,
    12: groups.heartbeat,
    13: groups.leave_group,
    14: groups.sync_group,
    15: group_admin.describe_groups,
    16: group_admin.list_groups,
    19: topics.create_topics,
    20: topics.delete_topics,
    21: topics.delete_records,
    22: produce.init_producer_id,
    23: offsets.offset_for_leader_epoch,
    29: acls.describe_acls,
    30: acls.create_acls,
    31: acls.delete_acls,
    32: configs.describe_configs,
    33: configs.alter_configs,
    35: cluster.describe_log_dirs,
    37: topics.create_partitions,
    42: group_admin.delete_groups,
    43: cluster.elect_leaders,
    44: configs.incremental_alter_configs,
    45: cluster.alter_partition_reassignments,
    46: cluster.list_partition_reassignments,
    47: commits.offset_delete,
    55: cluster.describe_quorum,
    60: cluster.describe_cluster,
    61: cluster.describe_producers,
    74: configs.list_config_resources,
    75: cluster.describe_topic_partitions,
}
"""By API key."""
