"""The whole as the management API shows it: overview, the one node, virtual hosts, and whether all is well.

Figures are those of this moment; how they change is not measured, so every rate is 0.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/overview`, `/api/nodes`, `/api/vhosts`, `/api/health/checks`.
"""

import os
import platform
from typing import Any, Final

from isthmus.broker import namespaces
from isthmus.protocols.http.messages import Response
from isthmus.web.health import troubles
from isthmus.web.management import shapes
from isthmus.web.management.answers import bad_request, document, done, not_found
from isthmus.web.management.call import NODE, Call, namespace_of, vhost_of
from isthmus.web.management.connected import seen
from isthmus.web.management.desk import channel
from isthmus.web.management.paging import chosen, listed
from isthmus.web.management.shapes import Row

RATE: Final = {"rate": 0.0}
CLUSTER: Final = "isthmus"
KINDS: Final = ("direct", "fanout", "headers", "topic", "x-delayed-message")
CHURN: Final = (
    "channel_closed",
    "channel_created",
    "connection_closed",
    "connection_created",
    "queue_created",
    "queue_declared",
    "queue_deleted",
)
DESCRIPTION: Final = "description"
TAGS: Final = "tags"


# ---- overview ------------------------------------------------------------------------------------------------------


async def overview(call: Call) -> Response:
    """What there is, in numbers."""
    options, runtime = call.api.options, f"Python {platform.python_version()}"
    found = {
        "management_version": options.version,
        "rates_mode": "none",
        "product_name": options.name,
        "product_version": call.api.version,
        "rabbitmq_version": options.version,
        "cluster_name": CLUSTER,
        "cluster_tags": {},
        "node_tags": {},
        "node": NODE,
        "erlang_version": runtime,
        "erlang_full_version": f"{runtime} (there is no Erlang here)",
        "release_series_support_status": "supported",
        "exchange_types": [{"name": kind, "description": "", "enabled": True} for kind in KINDS],
        "statistics_db_event_queue": 0,
        "listeners": _listeners(call),
        "contexts": [],
        "message_stats": {},
        "churn_rates": dict.fromkeys(CHURN, 0) | {f"{name}_details": RATE for name in CHURN},
    }
    return document(chosen(found | _totals(call), call.query))


def _listeners(call: Call) -> list[Row]:
    return [
        {"node": NODE, "protocol": protocol, "ip_address": host, "port": port, "socket_opts": []}
        for protocol, host, port in call.api.listeners()
    ]


def _totals(call: Call) -> dict[str, Row]:
    ready = unacknowledged = queues = consumers = 0
    for namespace, found in shapes.found_queues(call):
        row = shapes.queue_row(call, namespace, found)
        ready += row["messages_ready"]
        unacknowledged += row["messages_unacknowledged"]
        consumers += row["consumers"]
        queues += 1
    connections = list(seen(call))
    return {
        "object_totals": {
            "connections": len(connections),
            "channels": sum(len(each.channels) for each in connections),
            "queues": queues,
            "exchanges": sum(1 for _ in shapes.exchange_rows(call)),
            "consumers": consumers,
        },
        "queue_totals": _with_rates(
            messages=ready + unacknowledged, messages_ready=ready, messages_unacknowledged=unacknowledged
        ),
    }


def _with_rates(**counts: int) -> Row:
    found: dict[str, Any] = dict(counts)
    return found | {f"{name}_details": RATE for name in counts}


# ---- nodes ---------------------------------------------------------------------------------------------------------


def node_row(call: Call) -> Row:
    """The one node."""
    broker = call.broker
    return {
        "name": NODE,
        "type": "disc",
        "running": True,
        "being_drained": False,
        "uptime": broker.clock.monotonic_ms() - broker.opened_ms,
        "processors": os.cpu_count() or 1,
        "os_pid": str(os.getpid()),
        "run_queue": 0,
        "mem_alarm": False,
        "disk_free_alarm": broker.journal.space.full,
        "rates_mode": "none",
        "db_dir": "",
        "enabled_plugins": ["rabbitmq_management"],
        "applications": [{"name": "isthmus", "description": "Isthmus", "version": call.api.version}],
        "exchange_types": [{"name": kind, "description": "", "enabled": True} for kind in KINDS],
        "partitions": [],
        "rabbitmq_version": call.api.options.version,
    }


async def nodes(call: Call) -> Response:
    """All nodes."""
    return document(listed([node_row(call)], call.query))


async def node(call: Call) -> Response:
    """One node."""
    if call.given["name"] != NODE:
        raise not_found()
    return document(chosen(node_row(call), call.query))


async def cluster_name(call: Call) -> Response:  # noqa: ARG001 - as every handler
    """What the cluster is called."""
    return document({"name": CLUSTER})


async def extensions(call: Call) -> Response:  # noqa: ARG001 - as every handler
    """Parts of RabbitMQ's pages that plugins bring."""
    return document([])


async def nothing(call: Call) -> Response:
    """What RabbitMQ has and is never here, such as parameters, limits of users, and policies of operators."""
    return document(listed([], call.query))


async def sign_in(call: Call) -> Response:  # noqa: ARG001 - as every handler
    """By what RabbitMQ's pages let somebody in: no OAuth."""
    return document({"oauth_enabled": False})


# ---- virtual hosts -------------------------------------------------------------------------------------------------


def vhost_row(call: Call, namespace: str) -> Row:
    """A virtual host."""
    kept = dict(call.broker.catalog.namespaces[namespace].kept)
    description = kept.get(DESCRIPTION, b"").decode(errors="replace")
    tags = [tag for tag in kept.get(TAGS, b"").decode(errors="replace").split(",") if tag]
    ready = unacknowledged = 0
    for each, found in shapes.found_queues(call, namespace):
        row = shapes.queue_row(call, each, found)
        ready += row["messages_ready"]
        unacknowledged += row["messages_unacknowledged"]
    return {
        "name": vhost_of(namespace),
        "description": description,
        "tags": tags,
        "default_queue_type": "classic",
        "metadata": {"description": description, "tags": tags, "default_queue_type": "classic"},
        "tracing": False,
        "cluster_state": {NODE: "running"},
    } | _with_rates(messages=ready + unacknowledged, messages_ready=ready, messages_unacknowledged=unacknowledged)


async def vhosts(call: Call) -> Response:
    """The virtual hosts."""
    found = [vhost_row(call, each) for each in sorted(call.broker.catalog.namespaces) if call.may_enter(each)]
    return document(listed(sorted(found, key=lambda row: str(row["name"])), call.query))


async def vhost(call: Call) -> Response:
    """One virtual host."""
    return document(chosen(vhost_row(call, call.namespace), call.query))


async def put_vhost(call: Call) -> Response:
    """Make a virtual host, with the exchanges that each has."""
    return done(made=await make_vhost(call, call.given["vhost"], call))


async def make_vhost(call: Call, name: str, said: Call) -> bool:
    """The same, of the body of any call; whether it is new. One that is there stays as it is.

    Raises:
        Failure: a field is something else.
    """
    broker, namespace = call.broker, namespace_for(name)
    await broker.quiet("namespace", "", namespace)
    if namespace in broker.catalog.namespaces:
        return False
    kept = {DESCRIPTION: said.optional(str, "description", ""), TAGS: _tags(said)}
    await namespaces.create(
        broker, call.session, namespace, tuple((key, text.encode()) for key, text in kept.items() if text)
    )
    return True


def namespace_for(name: str) -> str:
    """The namespace of a virtual host that may be new. Raises Failure for the name that the first one has inside."""
    namespace = namespace_of(name)
    if vhost_of(namespace) != name:
        raise bad_request(f"a virtual host cannot be called {name!r}: that is `/`, by its name for other protocols")
    return namespace


def _tags(said: Call) -> str:
    tags = said.body.get(TAGS, "")
    found = tags if isinstance(tags, str) else ",".join(tags) if _are_texts(tags) else None
    if found is None:
        raise bad_request("tags should be a text with commas, or a list of texts")
    return found


def _are_texts(tags: object) -> bool:
    return isinstance(tags, list) and all(isinstance(each, str) for each in tags)


async def remove_vhost(call: Call) -> Response:
    """Remove a virtual host with everything in it."""
    namespace = call.namespace
    await namespaces.remove(call.broker, call.session, namespace)
    return done()


# ---- is all well? --------------------------------------------------------------------------------------------------


async def aliveness(call: Call) -> Response:
    """Whether a virtual host takes what is published: nothing is, the store is asked."""
    async with channel(call):
        pass
    return _well(call)


async def healthy(call: Call) -> Response:
    """Whether the store takes what is published."""
    return _well(call)


def _well(call: Call) -> Response:
    found = troubles(call.broker)
    if found:
        return document({"status": "failed", "reason": "; ".join(found)}, 503)
    return document({"status": "ok"})


async def quorum_critical(call: Call) -> Response:  # noqa: ARG001 - as every handler
    """Whether the cluster needs this node."""
    return document({"status": "ok", "reason": "single node cluster"})


async def port_listener(call: Call) -> Response:
    """Whether something listens on a port."""
    port = call.given["port"]
    ports = [each for _, _, each in call.api.listeners()]
    if not port.isdigit() or int(port) not in ports:
        return document({"status": "failed", "reason": "No active listener", "missing": port, "ports": ports}, 503)
    return document({"status": "ok", "port": int(port)})


async def protocol_listener(call: Call) -> Response:
    """Whether a protocol is spoken here."""
    protocol = call.given["protocol"]
    protocols = sorted({each for each, _, _ in call.api.listeners()})
    if PROTOCOLS.get(protocol, protocol) not in protocols:
        reason = {"status": "failed", "reason": "No active listener", "missing": protocol, "protocols": protocols}
        return document(reason, 503)
    return document({"status": "ok", "protocol": protocol})


PROTOCOLS: Final = {"amqp091": "amqp", "amqp0-9-1": "amqp", "http": "web", "management": "web"}
"""Other names for what is spoken here."""
