"""What a request names: virtual hosts and fields of its body."""

import pytest

from isthmus.web.management.call import namespace_of, vhost_of
from support.management import Desk


def test_a_virtual_host_is_a_namespace() -> None:
    assert (namespace_of("/"), namespace_of("v1")) == ("default", "v1")
    assert (vhost_of("default"), vhost_of("v1")) == ("/", "v1")


@pytest.mark.parametrize("path", ["queues/none", "exchanges/none/x", "policies/default", "definitions/none"])
async def test_a_virtual_host_that_is_not_there_is_not_found(api: Desk, path: str) -> None:
    assert (await api.ask("GET", path)).status == 404


async def test_truth_values_and_numbers_may_be_written_as_text(api: Desk) -> None:
    said = await api.ask("PUT", "queues/%2F/q", {"durable": "false"})
    policy = await api.ask(
        "PUT", "policies/%2F/p", {"pattern": "", "definition": {"expires": 900000}, "priority": "-3"}
    )

    row = await api.get("queues/%2F/q")

    assert (said.status, policy.status) == (201, 201)
    assert row["durable"] is False
    assert (await api.get("policies/%2F/p"))["priority"] == -3
