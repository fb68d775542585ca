"""Definitions: all that is declared, as one document, out and in again.

What comes in is made by the same rules as each part by itself, in an order in which nothing is asked for before it is
there. Nothing is undone when something cannot be made: what is there by then stays, as with RabbitMQ.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/definitions`; "Definition Export and Import".
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from isthmus.protocols.http.messages import Response
from isthmus.web.management import cluster, governed, objects, people, shapes
from isthmus.web.management.answers import Failure, bad_request, document, done
from isthmus.web.management.call import Call
from isthmus.web.management.patterns import Permission

WHAT: Final = "definitions"
EMPTY: Final = ("parameters", "topic_permissions")
"""What RabbitMQ has and Isthmus has not: an import may name it with nothing in it."""

IGNORED: Final = frozenset({"cluster_name", "internal_cluster_id", "cluster_tags"})
"""Global parameters that say who a cluster is, and nothing about this one."""


# ---- out -----------------------------------------------------------------------------------------------------------


async def export(call: Call) -> Response:
    """All that is declared, for administrators. Passwords are not in it, nor what is kept of them."""
    call.broker.access.check_admin(call.session, WHAT)
    catalog = call.broker.catalog
    users = [each for _, each in sorted(call.broker.access.users.by_name.items())]
    found = _versions(call) | {
        "users": [people.shown(each) for each in users],
        "vhosts": [_picked(cluster.vhost_row(call, each), *VHOST) for each in sorted(catalog.namespaces)],
        "permissions": [row for each in users for row in people.rows_of(call, each)],
        "topic_permissions": [],
        "parameters": [],
        "global_parameters": [],
        "policies": governed.rows(call, None),
    }
    return _file(call, found | _declared(call, None, "vhost"))


async def export_vhost(call: Call) -> Response:
    """The same of a virtual host, so that it can go into another one."""
    call.broker.access.check_admin(call.session, WHAT)
    namespace = call.namespace
    policies = governed.rows(call, namespace)
    metadata = cluster.vhost_row(call, namespace)["metadata"]
    found = _versions(call) | {"metadata": metadata, "parameters": [], "policies": policies}
    return _file(call, found | _declared(call, namespace))


def _versions(call: Call) -> dict[str, Any]:
    options = call.api.options
    return {
        "rabbit_version": options.version,
        "rabbitmq_version": options.version,
        "product_name": options.name,
        "product_version": call.api.version,
    }


VHOST: Final = ("name", "description", "tags", "metadata")
QUEUE: Final = ("name", "durable", "auto_delete", "arguments")
EXCHANGE: Final = ("name", "type", "durable", "auto_delete", "internal", "arguments")
BINDING: Final = ("source", "destination", "destination_type", "routing_key", "arguments")


def _picked(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _declared(call: Call, namespace: str | None, *more: str) -> dict[str, Any]:
    """Queues, exchanges and bindings that were made and are to last."""
    queues = [shapes.queue_row(call, each, found) for each, found in shapes.found_queues(call, namespace)]
    exchanges = [row for row in shapes.exchange_rows(call, namespace) if row["name"] and not is_reserved(row["name"])]
    bindings = [row for row in shapes.binding_rows(call, namespace) if row["source"]]
    return {
        "queues": [_picked(row, *QUEUE, *more) for row in queues if not row["exclusive"]],
        "exchanges": [_picked(row, *EXCHANGE, *more) for row in exchanges],
        "bindings": [_picked(row, *BINDING, *more) for row in bindings],
    }


def is_reserved(name: str) -> bool:
    """Whether only the broker makes exchanges of such a name."""
    return name.startswith("amq.")


def _file(call: Call, found: dict[str, Any]) -> Response:
    name = call.query.get("download", "")
    plain = "".join(
        character for character in name if character.isascii() and (character.isalnum() or character in "-_.")
    )
    return document(found, 200, (("Content-Disposition", f'attachment; filename="{plain}"'),) if plain else ())


# ---- in ------------------------------------------------------------------------------------------------------------


async def load(call: Call) -> Response:
    """Make all that a document declares."""
    async with _owner(call) as owned:
        await _all(owned)
    return done()


async def _all(call: Call) -> None:
    _check(call)
    for row in _rows(call, "vhosts"):
        await cluster.make_vhost(call, _name(row, "vhosts"), _said(call, row))
    for row in _rows(call, "users"):
        await _user(call, row)
    for row in _rows(call, "permissions"):
        await _permission(call, row)
    await _objects(call, None)


@asynccontextmanager
async def _owner(call: Call) -> AsyncGenerator[Call]:
    """The same request of an administrator with a session that does not end when its own password is changed by it.

    Raises:
        AccessDenied: not an administrator.
    """
    call.broker.access.check_admin(call.session, WHAT)
    session = call.broker.session()
    try:
        yield msgspec.structs.replace(call, session=session)
    finally:
        call.broker.end_session(session)


async def load_vhost(call: Call) -> Response:
    """The same into one virtual host, whatever the document was of."""
    async with _owner(call) as owned:
        _check(owned)
        await _objects(owned, owned.vhost)
    return done()


def _check(call: Call) -> None:
    """Raises Failure for what there is nothing for here, before anything is made."""
    for name in EMPTY:
        if call.optional(list, name, []):
            raise bad_request(f"{name} mean nothing here; remove them from the definitions")
    unknown = [row for row in _rows(call, "global_parameters") if row.get("name") not in IGNORED]
    if unknown:
        raise bad_request(f"the global parameter {unknown[0].get('name')!r} means nothing here")


def _rows(call: Call, name: str) -> list[Mapping[str, Any]]:
    rows = call.optional(list, name, [])
    if not all(isinstance(row, dict) for row in rows):
        raise bad_request(f"{name} should be a list of objects")
    return rows


def _said(call: Call, row: Mapping[str, Any], **given: str) -> Call:
    """A part of the document as a request by itself."""
    return msgspec.structs.replace(call, body=row, given=given)


def _name(row: Mapping[str, Any], kind: str, field: str = "name") -> str:
    name = row.get(field)
    if not isinstance(name, str):
        raise bad_request(f"{kind}: {field} should be a text")
    return name


async def _user(call: Call, row: Mapping[str, Any]) -> None:
    """A user; of one that is there, password and rights stay when the document does not give a password."""
    name = _name(row, "users")
    known = name in call.broker.access.users.by_name
    kept = {key: value for key, value in row.items() if key != "password_hash"} if known else row
    await people.put(call, name, kept)


async def _permission(call: Call, row: Mapping[str, Any]) -> None:
    said = _said(call, row, vhost=_name(row, "permissions", "vhost"))
    expressions = said.wanted(str, *Permission._fields)
    user = call.broker.access.users.by_name.get(_name(row, "permissions", "user"))
    if user is not None and user.admin:
        return  # it may do everything already, and keeps that
    await people.allow(said, _name(row, "permissions", "user"), said.vhost, Permission(*expressions))


async def _objects(call: Call, vhost: str | None) -> None:
    for row in _rows(call, "policies"):
        said = _said(call, row, vhost=_vhost(row, "policies", vhost))
        await _named(row, "policies", governed.put(said, said.vhost, _name(row, "policies"), said))
    for row in _rows(call, "exchanges"):
        said = _said(call, row, vhost=_vhost(row, "exchanges", vhost))
        await _named(row, "exchanges", objects.declare_exchange(said, _name(row, "exchanges"), said))
    for row in _rows(call, "queues"):
        said = _said(call, row, vhost=_vhost(row, "queues", vhost))
        await _named(row, "queues", objects.declare_queue(said, _name(row, "queues"), said))
    for row in _rows(call, "bindings"):
        await _binding(_said(call, row, vhost=_vhost(row, "bindings", vhost)), row)


def _vhost(row: Mapping[str, Any], kind: str, vhost: str | None) -> str:
    return _name(row, kind, "vhost") if vhost is None else vhost


async def _named(row: Mapping[str, Any], kind: str, made: Any) -> None:  # noqa: ANN401 - what is awaited
    """Make something, and say of what cannot be made which part of the document it is."""
    try:
        await made
    except Failure as failure:
        raise Failure(failure.status, failure.error, f"{kind}: {row.get('name')!r}: {failure.reason}") from failure


async def _binding(said: Call, row: Mapping[str, Any]) -> None:
    kind = row.get("destination_type")
    if kind not in ("queue", "exchange"):
        raise bad_request("bindings: destination_type should be queue or exchange")
    source, destination = _name(row, "bindings", "source"), _name(row, "bindings", "destination")
    await objects.bind(said, source, destination, kind, said)
