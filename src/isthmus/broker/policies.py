"""Policies: which of them counts for a queue or an exchange, and what a configuration comes to under it.

It knows what is set and decides; who may set a policy, and what has to be told when one is set, is decided elsewhere.

Theory of operation
-------------------
A policy says for all names of a namespace that fit its pattern what settings hold there. One policy at most counts for
a name: that of the highest priority, and among equals that whose name comes first. Settings of others are not added.

What was asked for when a queue was declared and what its policy says meet like this: of limits the smaller counts, of
everything else what was asked for. What nobody asked for is what the policy says, or else what the queue has.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from isthmus.definition import PolicyDefinition, QueueConfig, check_name
from isthmus.errors import InvalidArgument, InvalidName, Unsupported
from isthmus.limits import POLICY_PATTERN_MAX, POLICY_SETTING_BYTES_MAX
from isthmus.log import facts

Kind = Literal["queues", "exchanges"]

_DEFAULTS: Final = QueueConfig()
_PRIORITY: Final = 2**31
"""Priorities lie within this and its negative."""


class Rule(NamedTuple):
    """One thing that a policy can set: for what, what it takes, that in words, and whether the smaller one counts."""

    kind: Kind
    fits: Callable[[Any], bool]
    takes: str
    limit: bool = False


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _limit(value: object) -> bool:
    return value is None or _whole(1)(value)


def _name(value: object) -> bool:
    return isinstance(value, str)


RULES: Final[dict[str, Rule]] = {
    "max_events": Rule("queues", _whole(0), "a number from 0 on", limit=True),
    "max_bytes": Rule("queues", _whole(0), "bytes, from 0 on", limit=True),
    "ttl_ms": Rule("queues", _whole(0), "milliseconds, from 0 on", limit=True),
    "expires_ms": Rule("queues", _whole(1), "milliseconds, from 1 on", limit=True),
    "failed_max": Rule("queues", _limit, "a number from 1 on, or null for no limit", limit=True),
    "overflow": Rule("queues", {"refuse", "drop", "refuse_dead"}.__contains__, "refuse, drop or refuse_dead"),
    "dead_exchange": Rule("queues", _name, "the name of an exchange"),
    "dead_key": Rule("queues", _name, "a routing key"),
    "alternate": Rule("exchanges", _name, "the name of an exchange"),
}
"""What a policy can set, by the name that it has in `QueueConfig` or `ExchangeDefinition`."""


class Policy:
    """A policy with what it says, ready to be asked."""

    __slots__ = ("_search", "set", "settings")

    def __init__(self, declared: facts.PolicySet) -> None:
        self.set = declared
        self._search = re.compile(declared.pattern).search
        self.settings: Mapping[str, Any] = {name: msgspec.json.decode(value) for name, value in declared.settings}

    def counts_for(self, kind: Kind, name: str) -> bool:
        """Whether it is about that queue or exchange."""
        return self.set.applies_to in (kind, "all") and self._search(name) is not None


class Policies:
    """The policies of all namespaces."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, Policy]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_namespace.values()))

    def __iter__(self) -> Iterator[Policy]:
        """All, of a namespace in the order in which they are asked whether they fit."""
        for known in self._by_namespace.values():
            yield from known.values()

    def find(self, namespace: str, name: str) -> Policy | None:
        """The policy of that name."""
        return self._by_namespace.get(namespace, {}).get(name)

    def put(self, fact: facts.PolicySet) -> None:
        """A policy is what the fact says from now on."""
        known = self._by_namespace.setdefault(fact.namespace, {})
        known[fact.name] = Policy(fact)
        ranked = sorted(known.values(), key=lambda each: (-each.set.priority, each.set.name))
        self._by_namespace[fact.namespace] = {each.set.name: each for each in ranked}

    def drop(self, namespace: str, name: str) -> None:
        """A policy is gone, if there was one."""
        known = self._by_namespace.get(namespace, {})
        known.pop(name, None)
        if not known:
            self._by_namespace.pop(namespace, None)

    def winner(self, namespace: str, kind: Kind, name: str) -> Policy | None:
        """The one policy that counts for a queue or an exchange."""
        known = self._by_namespace.get(namespace)
        return None if known is None else next((each for each in known.values() if each.counts_for(kind, name)), None)


def effective(config: QueueConfig, policy: Policy | None, *, view: bool = False) -> QueueConfig:
    """What holds for a queue of that configuration under that policy.

    Args:
        config: as it was declared.
        policy: the one that counts.
        view: whether the queue views a topic, whose records are not its own to expire.
    """
    if policy is None:
        return config
    changes = {
        name: _met(config, name, value)
        for name, value in policy.settings.items()
        if RULES[name].kind == "queues" and not (view and name == "ttl_ms")
    }
    return msgspec.structs.replace(config, **changes)


def _met(config: QueueConfig, name: str, said: object) -> object:
    """What was asked for and what the policy says, as one."""
    own = getattr(config, name)
    if not asked(config, name):
        return said
    if not RULES[name].limit or said is None:
        return own
    return said if own is None else min(own, said)


def asked(config: QueueConfig, name: str) -> bool:
    """Whether whoever declared a queue asked for that setting; where that was not told, for what is no default."""
    if config.asked is not None:
        return name in config.asked
    return bool(getattr(config, name) != getattr(_DEFAULTS, name))


def check(definition: PolicyDefinition) -> None:
    """Hold a policy against the rules.

    Raises:
        InvalidName: the name cannot be one.
        InvalidArgument: pattern, priority or a value cannot be.
        Unsupported: a setting that no policy can set here.
    """
    check_name(definition.name)
    _check_pattern(definition.pattern)
    if definition.applies_to not in ("queues", "exchanges", "all"):
        raise InvalidArgument("applies_to", f"{definition.applies_to!r} is not queues, exchanges or all")
    if not -_PRIORITY <= definition.priority < _PRIORITY:
        raise InvalidArgument("priority", f"{definition.priority} is not in {-_PRIORITY} to {_PRIORITY - 1}")
    if not definition.settings:
        raise InvalidArgument("settings", "a policy sets one thing at least")
    seen: set[str] = set()
    for name, value in definition.settings:
        _check_setting(definition, name, value)
        if name in seen:
            raise InvalidArgument(name, "is set twice")
        seen.add(name)


def _check_pattern(pattern: str) -> None:
    if len(pattern) > POLICY_PATTERN_MAX:
        raise InvalidArgument("pattern", f"{len(pattern)} characters are more than {POLICY_PATTERN_MAX}")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidArgument("pattern", f"{pattern!r} is no regular expression: {error}") from error


def _check_setting(definition: PolicyDefinition, name: str, value: bytes) -> None:
    rule = RULES.get(name)
    if rule is None:
        raise Unsupported(f"the policy setting {name!r}", f"policies set {', '.join(RULES)}")
    if definition.applies_to not in (rule.kind, "all"):
        raise InvalidArgument(name, f"is for {rule.kind}, and the policy for {definition.applies_to}")
    if len(value) > POLICY_SETTING_BYTES_MAX:
        raise InvalidArgument(name, f"{len(value)} bytes are more than {POLICY_SETTING_BYTES_MAX}")
    try:
        said = msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise InvalidArgument(name, f"{value!r} is no JSON") from error
    if isinstance(said, (list, dict)) or not rule.fits(said):
        raise InvalidArgument(name, f"{value.decode()} is not {rule.takes}")
    if name in ("dead_exchange", "alternate") and said:
        _check_exchange(name, said)


def _check_exchange(setting: str, name: str) -> None:
    try:
        check_name(name)
    except InvalidName as error:
        raise InvalidArgument(setting, str(error)) from error
