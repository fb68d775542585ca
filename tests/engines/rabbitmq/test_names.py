"""Names of queues, streams and exchanges on the broker."""

import pytest

from isthmus.engines.rabbitmq import names
from isthmus.errors import InvalidName


def test_a_stream_of_one_partition_has_the_name_of_its_topic() -> None:
    assert [names.partition("wide", index) for index in range(3)] == ["wide", "wide-1", "wide-2"]


@pytest.mark.parametrize("name", ["amq.x", "isthmus.x", "", "a\nb", "é" * 125])
def test_what_the_broker_or_the_engine_keeps_for_itself_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        names.check(name)


def test_what_belongs_to_a_group_has_room_in_a_name() -> None:
    assert names.token("billing", "orders") == "isthmus.group.billing.orders"
    assert names.position("billing", "orders") == "isthmus.position.billing.orders"
    with pytest.raises(InvalidName):
        names.position("g" * 200, "q" * 200)
