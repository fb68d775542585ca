"""Overview, node, virtual hosts and health through the management API."""

import pytest

from isthmus.definition import QueueDefinition
from isthmus.log.commit import Space
from support.management import Desk


async def test_the_overview_counts_what_there_is(api: Desk) -> None:
    await api.make("queues/%2F/orders")

    found = await api.get("overview")

    assert found["object_totals"] == {"connections": 0, "channels": 0, "queues": 1, "exchanges": 7, "consumers": 0}
    assert (found["queue_totals"]["messages"], found["product_name"], found["product_version"]) == (0, "Isthmus", "1.2")
    assert [each["protocol"] for each in found["listeners"]] == ["amqp", "web"]
    assert await api.get("overview?columns=node") == {"node": "isthmus@localhost"}


async def test_there_is_one_node(api: Desk) -> None:
    (row,) = await api.get("nodes")

    assert (row["name"], row["running"]) == ("isthmus@localhost", True)
    assert (await api.get("nodes/isthmus%40localhost"))["name"] == row["name"]
    assert (await api.ask("GET", "nodes/other")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "aliveness-test/%2F",
        "healthchecks/node",
        "health/checks/alarms",
        "health/checks/local-alarms",
        "health/checks/virtual-hosts",
        "health/checks/node-is-quorum-critical",
        "health/checks/port-listener/5672",
        "health/checks/protocol-listener/amqp091",
        "health/checks/protocol-listener/amqp",
    ],
)
async def test_all_is_well(api: Desk, path: str) -> None:
    assert (await api.get(path))["status"] == "ok"


@pytest.mark.parametrize("path", ["health/checks/port-listener/1", "health/checks/protocol-listener/mqtt"])
async def test_what_does_not_listen_is_told(api: Desk, path: str) -> None:
    said = await api.ask("GET", path)

    assert (said.status, said.value["reason"]) == (503, "No active listener")


async def test_a_store_that_takes_nothing_is_not_well(api: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(api.broker.journal, "space", Space(full=True))

        said = await api.ask("GET", "health/checks/alarms")

    assert (said.status, said.value) == (503, {"status": "failed", "reason": "the disk is full"})


async def test_a_virtual_host_is_made_and_goes_with_what_is_in_it(api: Desk) -> None:
    first = await api.ask("PUT", "vhosts/v1", {"description": "mine", "tags": "a,b"})
    second = await api.ask("PUT", "vhosts/v1", {})
    await api.make("queues/v1/orders")

    found = await api.get("vhosts/v1")
    gone = await api.ask("DELETE", "vhosts/v1")
    again = await api.ask("DELETE", "vhosts/v1")

    assert [each.status for each in (first, second, gone, again)] == [201, 204, 204, 404]
    assert (found["name"], found["description"], found["tags"]) == ("v1", "mine", ["a", "b"])
    assert (await api.ask("GET", "queues/v1")).status == 404
    assert [row["name"] for row in await api.get("vhosts")] == ["/"]


async def test_the_first_virtual_host_is_what_others_call_default(api: Desk) -> None:
    await api.broker.create_queue(api.broker.session(), QueueDefinition(name="jobs"))

    assert [row["name"] for row in await api.get("queues/%2F")] == ["jobs"]
    assert (await api.ask("GET", "vhosts/default")).status == 404
    assert "by its name for other protocols" in (await api.ask("PUT", "vhosts/default", {})).value["reason"]
    assert (await api.ask("DELETE", "vhosts/%2F")).status == 400


@pytest.mark.parametrize("body", [{"tags": 3}, {"tags": [3]}, {"description": 3}])
async def test_a_virtual_host_that_cannot_be_is_refused(api: Desk, body: object) -> None:
    assert (await api.ask("PUT", "vhosts/v1", body)).status == 400


async def test_what_is_never_here_is_an_empty_list(api: Desk) -> None:
    paths = "parameters", "global-parameters", "operator-policies", "vhost-limits", "user-limits", "feature-flags"

    assert [await api.get(path) for path in paths] == [[]] * len(paths)
    assert await api.get("extensions") == []
    assert await api.get("cluster-name") == {"name": "isthmus"}
    assert await api.get("auth") == {"oauth_enabled": False}
