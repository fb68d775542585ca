"""Policies as doors set, remove and list them: by administrators only, each change in one unit.

What a policy means for queues and exchanges is not decided here; the catalogue tells them when a change is durable.
"""

from typing import TYPE_CHECKING

from isthmus.broker import policies
from isthmus.broker.access import Session
from isthmus.broker.policies import Policy
from isthmus.definition import PolicyDefinition
from isthmus.errors import Overloaded, UnknownPolicy
from isthmus.limits import POLICIES_MAX
from isthmus.log import facts
from isthmus.log.pending import Pending
from isthmus.views import PolicyView

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker

WHAT = "policies"


def listed(broker: "Broker", session: Session, namespace: str | None = None) -> list[PolicyView]:
    """All policies, or those of a namespace, in the order in which they are asked whether they fit.

    Raises:
        AccessDenied: not an administrator.
    """
    broker.access.check_admin(session, WHAT)
    found = broker.catalog.policies
    return [view(each) for each in found if namespace is None or each.set.namespace == namespace]


def view(policy: Policy) -> PolicyView:
    """A policy as it is shown."""
    declared = policy.set
    return PolicyView(
        name=declared.name,
        namespace=declared.namespace,
        pattern=declared.pattern,
        applies_to=declared.applies_to,
        priority=declared.priority,
        settings=declared.settings,
    )


def put(broker: "Broker", session: Session, asked: PolicyDefinition) -> Pending[None]:
    """Make a policy, or put another one in the place of that of its name.

    Raises:
        AccessDenied: not an administrator.
        InvalidName, InvalidArgument, Unsupported, Overloaded: nothing was set.
    """
    broker.access.check_admin(session, WHAT)
    policies.check(asked)
    known = broker.catalog.policies
    if known.find(asked.namespace, asked.name) is None and len(known) >= POLICIES_MAX:
        raise Overloaded("policies", POLICIES_MAX)
    fact = facts.PolicySet(asked.namespace, asked.name, asked.pattern, asked.applies_to, asked.priority, asked.settings)
    return broker.make([("policy", asked.namespace, asked.name)], [fact], lambda: None)


def remove(broker: "Broker", session: Session, namespace: str, name: str) -> Pending[None]:
    """Remove a policy: what it was about goes by the next that fits, or by none.

    Raises:
        AccessDenied: not an administrator.
        UnknownPolicy: none of that name.
    """
    broker.access.check_admin(session, WHAT)
    if broker.catalog.policies.find(namespace, name) is None:
        raise UnknownPolicy(name)
    return broker.make([("policy", namespace, name)], [facts.PolicyRemoved(namespace, name)], lambda: None)
