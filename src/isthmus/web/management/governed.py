"""Policies, as the management API lists, sets and removes them.

It speaks RabbitMQ's names; what a policy means is the broker's. Spec: RabbitMQ 4.3 HTTP API reference, `/api/policies`.
"""

from typing import Any, Final, cast

from isthmus.broker import governing
from isthmus.broker.policies import Policy
from isthmus.definition import PolicyDefinition, PolicyTarget
from isthmus.protocols.http.messages import Response
from isthmus.web.management.answers import bad_request, document, done, not_found
from isthmus.web.management.call import Call, namespace_of, vhost_of
from isthmus.web.management.paging import listed
from isthmus.web.management.values import settings_of, shown_settings

TARGETS: Final = ("queues", "exchanges", "all")


def shown(policy: Policy) -> dict[str, Any]:
    """A policy for JSON."""
    declared = policy.set
    return {
        "vhost": vhost_of(declared.namespace),
        "name": declared.name,
        "pattern": declared.pattern,
        "apply-to": declared.applies_to,
        "definition": shown_settings(declared.settings),
        "priority": declared.priority,
    }


def rows(call: Call, namespace: str | None) -> list[dict[str, Any]]:
    """The policies of a namespace, or of all. Raises AccessDenied for who is no administrator."""
    call.broker.access.check_admin(call.session, governing.WHAT)
    found = call.broker.catalog.policies
    return [shown(each) for each in found if namespace is None or each.set.namespace == namespace]


async def policies(call: Call) -> Response:
    """All policies."""
    return document(listed(rows(call, None), call.query))


async def vhost_policies(call: Call) -> Response:
    """The policies of a virtual host."""
    return document(listed(rows(call, call.namespace), call.query))


async def policy(call: Call) -> Response:
    """One policy."""
    call.broker.access.check_admin(call.session, governing.WHAT)
    found = call.broker.catalog.policies.find(call.namespace, call.given["name"])
    if found is None:
        raise not_found()
    return document(shown(found))


async def put_policy(call: Call) -> Response:
    """Make a policy, or put it in the place of that of its name."""
    made = await put(call, call.vhost, call.given["name"], call)
    return done(made=made)


async def put(call: Call, vhost: str, name: str, said: Call) -> bool:
    """The same, of the body of any call; whether the policy is new.

    Raises:
        Failure: a field is missing, or is something else.
        InvalidArgument, Unsupported: it cannot be set.
    """
    broker, namespace = call.broker, namespace_of(vhost)
    (pattern,) = said.wanted(str, "pattern")
    (definition,) = said.wanted(dict, "definition")
    target = said.optional(str, "apply-to", "all")
    if target not in TARGETS:
        raise bad_request(f"apply-to {target!r} means nothing here; there are {', '.join(TARGETS)}")
    asked = PolicyDefinition(
        name=name,
        namespace=namespace,
        pattern=pattern,
        applies_to=cast("PolicyTarget", target),
        priority=said.optional(int, "priority", 0),
        settings=settings_of(definition),
    )
    await broker.quiet("policy", namespace, name)
    made = broker.catalog.policies.find(namespace, name) is None
    await governing.put(broker, call.session, asked)
    return made


async def remove_policy(call: Call) -> Response:
    """Remove a policy."""
    broker, namespace, name = call.broker, call.namespace, call.given["name"]
    broker.access.check_admin(call.session, governing.WHAT)
    await broker.quiet("policy", namespace, name)
    if broker.catalog.policies.find(namespace, name) is None:
        raise not_found()
    await governing.remove(broker, call.session, namespace, name)
    return done()
