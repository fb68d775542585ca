"""What a tour through an AMQP broker must find, by chapter: as RabbitMQ 4.3 has it, and what 3.10 has otherwise."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

DEATH: Final = {"count": 1, "reason": "expired", "queue": "ttl", "time": True, "exchange": "source"}
FULL: Final = [["3", "4", "5"], ["1", "2"]]
FIRST_DEATH: Final = {
    "mine": 1,
    "x-first-death-exchange": "source",
    "x-first-death-queue": "ttl",
    "x-first-death-reason": "expired",
}

EXPECTED: Final[Mapping[str, Any]] = {
    "routed": {
        "direct": ["1"],
        "fanout": ["1", "2"],
        "topic": ["1", "3"],
        "headers": ["1", "3"],
        "any": ["1", "2", "3"],
    },
    "confirmed": 100,
    "returned": [312, "NO_ROUTE", "lost"],
    "prefetched": {"first": 3, "left": 7, "all": list("0123456789")},
    "settled": [["a", True], ["a", True], ["b", False], ["c", False], 0],
    "requeued": [["a", True], ["b", True], ["c", False]],
    "recovered": ["a", True],
    "priorities": ["5", "9", "5b", "1", "0"],
    "expired": {
        "queue": [{**DEATH, "routing-keys": ["k"]}],
        "own": [{"original-expiration": "20", **DEATH, "routing-keys": ["k"]}],
        "order": [["original-expiration", "count", "reason", "queue", "time", "exchange", "routing-keys"]],
        "headers": {
            **FIRST_DEATH,
            "x-last-death-exchange": "source",
            "x-last-death-queue": "ttl",
            "x-last-death-reason": "expired",
        },
        "expiration": None,
        "key": "gone",
    },
    "rejected": [
        [],
        [["ping", "rejected", 1]],
        [["pong", "rejected", 1], ["ping", "rejected", 1]],
        [["ping", "rejected", 2], ["pong", "rejected", 1]],
    ],
    "refusals": {
        "queue": [404, "NOT_FOUND - no queue 'no' in vhost '/'"],
        "exchange": [404, "NOT_FOUND - no exchange 'no' in vhost '/'"],
        "publish": [404, "NOT_FOUND - no exchange 'no' in vhost '/'"],
        "bind": [404, "NOT_FOUND - no exchange 'no' in vhost '/'"],
        "durable": [
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'whole' in vhost '/': "
                "received 'false' but current is 'true'"
            ),
        ],
        "argument": [
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'whole' in vhost '/': "
                "received the value '5' of type 'signedint' but current is none"
            ),
        ],
        "kind": [
            406,
            (
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'straight' in vhost '/': "
                "received 'fanout' but current is 'direct'"
            ),
        ],
        "reserved": [403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"],
        "default": [403, "ACCESS_REFUSED - operation not permitted on the default exchange"],
        "internal": [403, "ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'"],
        "tag": [406, "PRECONDITION_FAILED - unknown delivery tag 99"],
        "locked": [
            405,
            (
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be "
                "originally declared on another connection or the exclusive property value does not match that of the "
                "original declaration."
            ),
        ],
        "expiration": [406, "PRECONDITION_FAILED - invalid expiration 'soon': it is not a number of milliseconds"],
        "user": [406, "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was 'guest'"],
        "ttl": [
            406,
            "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'bad' in vhost '/': {value_negative,-1}",
        ],
        "reply": [406, "PRECONDITION_FAILED - fast reply consumer does not exist"],
    },
    "in_use": {
        "empty": [406, "PRECONDITION_FAILED - queue 'used' in vhost '/' not empty"],
        "used": [406, "PRECONDITION_FAILED - queue 'used' in vhost '/' in use"],
        "exclusive": [403, "ACCESS_REFUSED - queue 'used' in vhost '/' in exclusive use"],
    },
    "counted": [3, 1, 0],
    "named": ["amq.gen-", ["a"]],
    "auto_deleted": [404, 404],
    "left_alone": [404, "NOT_FOUND - no queue 'lonely' in vhost '/'"],
    "cancelled": True,
    "transacted": [0, 0, 1],
    "forgotten": ["a", True],
    "replied": [True, "7", "pong"],
    "large": [True, True],
    "through": {"bound": ["1"], "alternate": ["3"], "unbound": []},
    "copied": [["to", {"CC": ["cc"], "k": 1}]] * 3,
    "single": ["first", "first", "second"],
    "preferred": [5, 5, 5],
    "shared": [3, 2],
    "full": {
        "drop": [[], ["4", "5"]],
        "dropped": [["1", "maxlen"], ["2", "maxlen"], ["3", "maxlen"]],
        "refuse": FULL,
        "refuse_dead": FULL,
        "refused": [["3", "maxlen"], ["4", "maxlen"], ["5", "maxlen"]],
        "over": [],
    },
    "limited": [[None, 1, 2], "delivery_limit"],
    "delayed": [True, [["now", None], ["soon", -100], ["late", -300]]],
    "known": ["a", "b"],
    "browsed": [["a", 0], ["b", 1], ["c", 2], ["b", 1], ["c", 2]],
    "properties": {"properties": [], "headers": []},
}
"""By chapter. Of a table a client may have found some rows only; pika's tour has all of them."""


class Difference(NamedTuple):
    """A chapter, or a row of one, in which RabbitMQ 3.10 finds something else; `why` is for readers."""

    chapter: str
    row: str
    found: Any
    why: str


OLD: Final = (
    Difference(
        "expired",
        "order",
        [["count", "reason", "queue", "time", "exchange", "routing-keys", "original-expiration"]],
        "`original-expiration` stands last in a row of `x-death`; since 4.0 it stands first, as here",
    ),
    Difference(
        "expired",
        "headers",
        FIRST_DEATH,
        "there is no `x-last-death-queue`, `-reason` and `-exchange`; they came later",
    ),
    Difference(
        "limited",
        "",
        [[0, 1, 2], "delivery_limit"],
        "`x-delivery-count` is there from the first delivery on; in 4.3, and here, only when it is not 0",
    ),
    Difference(
        "delayed",
        "",
        [503],
        "exchanges of kind `x-delayed-message` need a plugin, which there is none of for RabbitMQ 4.3; here they act",
    ),
    Difference(
        "known",
        "",
        ["a", "again", "b"],
        "`x-message-deduplication` is of a plugin, and ignored without it; here it acts",
    ),
    Difference(
        "refusals",
        "expiration",
        [406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"],
        "`invalid expiration 'soon'` gives its reason as a term of Erlang; here it is a sentence",
    ),
)
"""What is otherwise in RabbitMQ 3.10; docs/protocols/amqp.md shows it."""


def wrong(found: Mapping[str, Any], *, old: bool) -> dict[str, tuple[Any, Any]]:
    """Chapters that did not find what they must, each with what it found and what that must be.

    Args:
        found: by chapter, what a program told.
        old: the broker is RabbitMQ 3.10.
    """
    wanted = dict(EXPECTED)
    for each in OLD if old else ():
        wanted[each.chapter] = {**wanted[each.chapter], each.row: each.found} if each.row else each.found
    return {
        chapter: (value, part(value, wanted[chapter]))
        for chapter, value in found.items()
        if value != part(value, wanted[chapter])
    }


def part(found: object, wanted: Any) -> Any:  # noqa: ANN401 - JSON
    """Of a table the rows that were found, else all that is wanted."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {key: wanted[key] for key in found}
    return wanted
