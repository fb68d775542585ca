"""Which policy counts, what it makes of a configuration, and what none can say."""

from typing import Any

import msgspec
import pytest

from isthmus.broker.policies import RULES, Kind, Policies, Policy, check, effective
from isthmus.definition import ExchangeDefinition, PolicyDefinition, PolicyTarget, QueueConfig
from isthmus.errors import InvalidArgument, InvalidName, Unsupported
from isthmus.log import facts


def fact(
    name: str = "p", pattern: str = "", applies_to: PolicyTarget = "all", priority: int = 0, **said: Any
) -> facts.PolicySet:
    return facts.PolicySet("default", name, pattern, applies_to, priority, packed(said))


def packed(said: dict[str, Any]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, msgspec.json.encode(value)) for name, value in said.items())


def asked(**fields: Any) -> PolicyDefinition:
    return PolicyDefinition(**({"name": "p", "pattern": "", "settings": packed({"max_events": 1})} | fields))


def known(*declared: facts.PolicySet) -> Policies:
    policies = Policies()
    for each in declared:
        policies.put(each)
    return policies


def winner(policies: Policies, name: str, kind: Kind = "queues") -> str | None:
    found = policies.winner("default", kind, name)
    return None if found is None else found.set.name


class TestWhichCounts:
    def test_the_one_that_fits_anywhere_in_the_name(self) -> None:
        policies = known(fact("inner", "b.d"))

        assert [winner(policies, name) for name in ("abcde", "bcd", "bd")] == ["inner", "inner", None]

    def test_the_highest_priority_then_the_first_by_name(self) -> None:
        policies = known(fact("z"), fact("b", priority=3), fact("a", priority=3), fact("low", priority=-1))

        assert winner(policies, "jobs") == "a"
        assert [each.set.name for each in policies] == ["a", "b", "z", "low"]

    def test_one_that_is_about_such_a_thing(self) -> None:
        policies = known(fact("q", applies_to="queues", priority=1), fact("all"))

        assert (winner(policies, "jobs"), winner(policies, "jobs", "exchanges")) == ("q", "all")

    def test_one_of_that_namespace(self) -> None:
        assert known(fact()).winner("elsewhere", "queues", "jobs") is None

    def test_the_one_that_took_its_place_or_none(self) -> None:
        policies = known(fact("p", "^a"), fact("p", "^b"))
        was = (winner(policies, "a"), winner(policies, "b"), len(policies))

        policies.drop("default", "p")
        policies.drop("default", "p")

        assert was == (None, "p", 1)
        assert (winner(policies, "b"), len(policies)) == (None, 0)


class TestWhatItMakesOfAConfiguration:
    @pytest.mark.parametrize(
        ("declared", "said", "found"),
        [
            ({}, {"max_events": 5}, {"max_events": 5}),
            ({"max_events": 3}, {"max_events": 5}, {"max_events": 3}),
            ({"max_events": 8}, {"max_events": 5}, {"max_events": 5}),
            ({"failed_max": None}, {"failed_max": 2}, {"failed_max": 2}),
            ({"failed_max": 3}, {"failed_max": None}, {"failed_max": 3}),
            ({}, {"failed_max": None}, {"failed_max": None}),
            ({}, {"overflow": "drop"}, {"overflow": "drop"}),
            ({"overflow": "drop"}, {"overflow": "refuse"}, {"overflow": "drop"}),
            ({"overflow": "drop", "asked": ()}, {"overflow": "refuse"}, {"overflow": "refuse"}),
            ({"overflow": "refuse", "asked": ("overflow",)}, {"overflow": "drop"}, {"overflow": "refuse"}),
            ({"dead_exchange": "x"}, {"dead_exchange": "y", "dead_key": "k"}, {"dead_exchange": "x", "dead_key": "k"}),
            ({}, {"alternate": "lost"}, {}),
        ],
    )  # fmt: skip
    def test_limits_by_the_smaller_and_the_rest_as_asked_for(
        self, declared: dict[str, Any], said: dict[str, Any], found: dict[str, Any]
    ) -> None:
        config = QueueConfig(**declared)

        assert effective(config, Policy(fact(**said))) == msgspec.structs.replace(config, **found)

    def test_nothing_without_a_policy(self) -> None:
        assert effective(QueueConfig(ttl_ms=1), None) == QueueConfig(ttl_ms=1)

    def test_a_view_lets_nothing_expire(self) -> None:
        policy = Policy(fact(ttl_ms=5, max_events=7))

        assert effective(QueueConfig(), policy, view=True) == QueueConfig(max_events=7)


class TestCheck:
    def test_every_setting_is_one_of_the_definitions(self) -> None:
        fields = {"queues": QueueConfig.__struct_fields__, "exchanges": ExchangeDefinition.__struct_fields__}

        assert all(name in fields[rule.kind] for name, rule in RULES.items())

    def test_all_settings_at_once_can_be(self) -> None:
        said = dict.fromkeys(RULES, 7) | {"overflow": "refuse_dead"}
        said |= dict.fromkeys(("dead_exchange", "dead_key", "alternate"), "x")

        check(asked(settings=packed(said)))

    @pytest.mark.parametrize(
        ("fields", "error", "message"),
        [
            ({"name": ""}, InvalidName, "empty"),
            ({"pattern": "("}, InvalidArgument, "no regular expression"),
            ({"pattern": "x" * 256}, InvalidArgument, "more than 255"),
            ({"applies_to": "topics"}, InvalidArgument, "'topics' is not queues"),
            ({"priority": 2**31}, InvalidArgument, "is not in"),
            ({"settings": ()}, InvalidArgument, "one thing at least"),
            ({"settings": packed({"ha-mode": "all"})}, Unsupported, "'ha-mode'"),
            ({"settings": packed({"max_events": True})}, InvalidArgument, "true is not a number"),
            ({"settings": packed({"max_events": -1})}, InvalidArgument, "from 0 on"),
            ({"settings": packed({"expires_ms": 0})}, InvalidArgument, "from 1 on"),
            ({"settings": packed({"overflow": ["drop"]})}, InvalidArgument, "refuse, drop"),
            ({"settings": packed({"dead_exchange": "a\x00"})}, InvalidArgument, "control character"),
            ({"settings": (("max_events", b"{"),)}, InvalidArgument, "no JSON"),
            ({"settings": (("dead_key", b'"' + b"x" * 1_024 + b'"'),)}, InvalidArgument, "more than 1024"),
            ({"settings": (("max_events", b"1"),) * 2}, InvalidArgument, "twice"),
            ({"applies_to": "exchanges"}, InvalidArgument, "is for queues"),
        ],
    )
    def test_what_cannot_be_is_named(self, fields: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            check(asked(**fields))
