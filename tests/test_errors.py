"""Every error says what was wrong, most say what to do; they keep their fields and have one who must act."""

import inspect
import itertools
from typing import Any, Final

import pytest

from isthmus import errors as e

# error, its fields, what was wrong, what to do (empty where the message carries no advice).
ROWS: Final[list[tuple[e.IsthmusError, dict[str, object], str, str]]] = [
    (e.UnknownTopic("orders"), {"name": "orders"}, "no topic 'orders'", "`isthmus create` makes one"),
    (e.UnknownQueue("mails"), {"name": "mails"}, "no queue 'mails'", "`isthmus create` makes one"),
    (e.UnknownGroup("billing"), {"name": "billing"}, "no consumer group 'billing'", "`isthmus group ls` lists"),
    (
        e.QueueFull("jobs", "events", 3),
        {"queue": "jobs", "what": "events", "limit": 3},
        "queue 'jobs' is full: it may hold 3 events",
        "consume some, then publish again",
    ),
    (
        e.ExclusiveOwned("jobs"),
        {"queue": "jobs"},
        "queue 'jobs' belongs to another session",
        "which made it for itself alone",
    ),
    (e.UnknownPolicy("short"), {"name": "short"}, "no policy 'short'", "`isthmus policy ls` lists"),
    (e.UnknownUser("ada"), {"name": "ada"}, "no user 'ada'", "`isthmus user ls` lists"),
    (e.UnknownNamespace("eu"), {"name": "eu"}, "no namespace 'eu'", "`isthmus namespace ls` lists"),
    (e.UnknownExchange("sales"), {"name": "sales"}, "no exchange 'sales'", ""),
    (
        e.UnknownPartition("orders", 4, 3),
        {"topic": "orders", "partition": 4, "partitions": 3},
        "topic 'orders' has partitions 0 to 2, not 4",
        "",
    ),
    (
        e.AlreadyExists("topic", "orders", "2 partitions, not 3"),
        {"kind": "topic", "name": "orders", "difference": "2 partitions, not 3"},
        "topic 'orders' exists already and differs: 2 partitions, not 3",
        "",
    ),
    (
        e.BeingChanged("topic", "orders"),
        {"kind": "topic", "name": "orders"},
        "topic 'orders' is being changed",
        "ask again",
    ),
    (
        e.InUse("topic", "orders", "queue 'mails'"),
        {"kind": "topic", "name": "orders", "by": "queue 'mails'"},
        "topic 'orders' is in use by queue 'mails'",
        "remove that first",
    ),
    (
        e.InvalidName("a b", "a space"),
        {"name": "a b", "reason": "a space"},
        "'a b' cannot be a name: a space",
        "",
    ),
    (
        e.InvalidArgument("count", "-1 is less than one"),
        {"argument": "count", "reason": "-1 is less than one"},
        "count: -1 is less than one",
        "",
    ),
    (
        e.RecordTooLarge(11, 10),
        {"size_bytes": 11, "limit_bytes": 10},
        "11 bytes are more than the limit of 10",
        "publish a reference, or raise the limit",
    ),
    (
        e.UnitTooLarge(11, 10, "records"),
        {"size": 11, "limit": 10, "unit": "records"},
        "11 records in one atomic unit are more than the limit of 10",
        "split the work",
    ),
    (e.InvalidBatch("it is cut short"), {"reason": "it is cut short"}, "not a valid record batch: it is cut short", ""),
    (
        e.UnsupportedCompression("zip"),
        {"codec": "zip", "package": None},
        "compression 'zip' is not available",
        "use gzip",
    ),
    (
        e.UnsupportedCompression("lz4", "lz4"),
        {"codec": "lz4", "package": "lz4"},
        "the package 'lz4' is missing",
        "install the extra isthmus[fast]",
    ),
    (
        e.InvalidTimestamp("prices", 5, 9_000),
        {"topic": "prices", "timestamp_ms": 5, "now_ms": 9_000},
        "topic 'prices' takes no record of timestamp 5 at 9000",
        "set the producer's clock",
    ),
    (e.KeyRequired("prices"), {"topic": "prices"}, "topic 'prices' keeps the latest", "every record needs a key"),
    (
        e.OffsetOutOfRange(9, 2, 5),
        {"offset": 9, "log_start": 2, "high_watermark": 5},
        "offset 9 is outside 2 to 5",
        "",
    ),
    (
        e.OutOfOrderSequence(7, 3, 5),
        {"producer_id": 7, "expected": 3, "got": 5},
        "producer 7 sent sequence 5; 3 was expected",
        "",
    ),
    (
        e.StaleProducer(7, 1, 2),
        {"producer_id": 7, "epoch": 1, "current": 2},
        "producer 7 has epoch 1, but 2 has taken over",
        "",
    ),
    (
        e.LeaseLost("mails", 1, 9),
        {"queue": "mails", "partition": 1, "offset": 9},
        "queue 'mails': the lease on offset 9 of partition 1 is no longer held",
        "",
    ),
    (
        e.StaleGeneration("billing", 3, 4),
        {"group": "billing", "generation": 3, "current": 4},
        "group 'billing' is at generation 4, not 3",
        "join again",
    ),
    (
        e.UnknownMember("billing", "m-1"),
        {"group": "billing", "member": "m-1"},
        "group 'billing' has no member 'm-1'",
        "join again",
    ),
    (e.RebalanceInProgress("billing"), {"group": "billing"}, "group 'billing' is rebalancing", "join again"),
    (
        e.InconsistentProtocol("billing"),
        {"group": "billing"},
        "group 'billing': no protocol that all members share",
        "",
    ),
    (
        e.FencedInstance("billing", "till-1", "m-1"),
        {"group": "billing", "instance": "till-1", "member": "m-1"},
        "a newer member than 'm-1' uses instance id 'till-1'",
        "stop one of the two",
    ),
    (
        e.MemberIdRequired("billing", "m-1"),
        {"group": "billing", "member": "m-1"},
        "group 'billing'",
        "join again as member 'm-1'",
    ),
    (e.GroupNotEmpty("billing"), {"group": "billing"}, "group 'billing' has live members", "stop them first"),
    (
        e.TooFarAhead("billing", 100),
        {"group": "billing", "limit": 100},
        "group 'billing': more than 100 offsets between the floor and",
        "",
    ),
    (
        e.AccessDenied("ann", "write", "orders"),
        {"principal": "ann", "operation": "write", "resource": "orders"},
        "'ann' may not write 'orders'",
        "",
    ),
    (
        e.Overloaded("open leases", 10),
        {"what": "open leases", "limit": 10},
        "open leases: the limit of 10 is reached",
        "wait, or raise the limit",
    ),
    (
        e.StorageFull("data", 4096),
        {"directory": "data", "needed_bytes": 4096},
        "data: no room to pre-allocate the next 4096 bytes",
        "free space",
    ),
    (
        e.ReadOnly("data", "another process writes"),
        {"directory": "data", "reason": "another process writes"},
        "data is open for reading only: another process writes",
        "",
    ),
    (
        e.Unsupported("no queues here", "use a topic"),
        {"what": "no queues here", "instead": "use a topic"},
        "no queues here",
        "use a topic",
    ),
    (e.DeclarationError("two handlers, one name"), {}, "two handlers, one name", ""),
    (
        e.WrongEventType("orders", "Paid", ["Placed", "Sent"]),
        {"destination": "orders", "got": "Paid", "allowed": ("Placed", "Sent")},
        "'orders' carries Placed | Sent, not Paid",
        "",
    ),
    (
        e.UnknownType("orders", "Paid"),
        {"destination": "orders", "type_name": "Paid"},
        "'orders': a stored event has type 'Paid', so it cannot be decoded",
        "",
    ),
    (
        e.DecodeError("orders", "Paid", "no amount"),
        {"destination": "orders", "type_name": "Paid", "reason": "no amount"},
        "'orders': an event of type 'Paid' cannot be decoded: no amount",
        "",
    ),
    (e.ProtocolError("a frame without an end"), {}, "a frame without an end", ""),
    (
        e.DirectoryInUse("data", 42, "noon"),
        {"directory": "data", "pid": 42, "since": "noon"},
        "data is held by process 42 since noon",
        "to write wait for that process or stop it",
    ),
    (
        e.ForkedBroker("data"),
        {"directory": "data"},
        "data was opened before this process was forked",
        "open the broker in the child",
    ),
    (
        e.FormatTooNew("data", 9, 1),
        {"directory": "data", "found": 9, "supported": 1},
        "data has format 9, this version of Isthmus reads up to 1",
        "upgrade Isthmus",
    ),
    (
        e.NotAStore("data", "it holds pictures"),
        {"directory": "data", "reason": "it holds pictures"},
        "data is not an Isthmus data directory: it holds pictures. Nothing was changed",
        "",
    ),
    (
        e.NoAccess("data", "permission denied"),
        {"directory": "data", "cause": "permission denied"},
        "data cannot be used: permission denied",
        "give this user the right to write there",
    ),
    (
        e.Damaged("data", ["LSN 1 to 2", "LSN 5 to 6"]),
        {"directory": "data", "ranges": ("LSN 1 to 2", "LSN 5 to 6")},
        "data is damaged: LSN 1 to 2; LSN 5 to 6",
        "see `isthmus log verify`, restore a backup",
    ),
    (
        e.StorePoisoned("data", "sync failed"),
        {"directory": "data", "cause": "sync failed"},
        "data: sync failed. What was not acknowledged is in doubt",
        "close the broker, look at the disk, open it again",
    ),
    (e.Closed("the broker"), {"what": "the broker"}, "the broker is closed", ""),
    (e.EngineError("no route", retryable=False), {"retryable": False}, "no route", ""),
    (
        e.CircuitOpen("weather", 500),
        {"service": "weather", "after_ms": 500, "retryable": True},
        "weather failed too often and is left alone for another 500 ms",
        "",
    ),
    (e.InvariantError("two owners"), {}, "two owners", ""),
]
BRANCHES: Final[tuple[type[e.IsthmusError], ...]] = (e.RequestError, e.ProtocolError, e.StorageError, e.EngineError)
CLASSES: Final = [cls for _, cls in inspect.getmembers(e, inspect.isclass) if issubclass(cls, e.IsthmusError)]
STORAGE: Final = {
    e.DirectoryInUse,
    e.ForkedBroker,
    e.FormatTooNew,
    e.NotAStore,
    e.NoAccess,
    e.Damaged,
    e.StorePoisoned,
    e.Closed,
}

every_error = pytest.mark.parametrize(
    ("error", "fields", "wrong", "advice"), ROWS, ids=[type(row[0]).__name__ for row in ROWS]
)


@every_error
def test_the_message_says_what_was_wrong_and_then_what_to_do(
    error: e.IsthmusError, fields: dict[str, Any], wrong: str, advice: str
) -> None:
    assert wrong in str(error)
    assert advice in str(error).split(wrong, 1)[1]


@every_error
def test_the_fields_are_kept_and_there_are_no_others(
    error: e.IsthmusError, fields: dict[str, Any], wrong: str, advice: str
) -> None:
    assert vars(error) == fields


def test_no_class_is_missing_from_the_table() -> None:
    assert {type(error) for error, *_ in ROWS} == {*CLASSES} - {e.IsthmusError, e.RequestError, e.StorageError}


def test_every_error_has_exactly_one_who_must_act_unless_it_is_a_bug_of_ours() -> None:
    for cls in {*CLASSES} - {e.IsthmusError}:
        found = [branch for branch in BRANCHES if issubclass(cls, branch)]
        assert len(found) == (0 if cls is e.InvariantError else 1), cls


def test_the_operator_acts_on_the_store_and_the_client_on_engines_and_the_caller_on_the_rest() -> None:
    below = {branch: {cls for cls in CLASSES if issubclass(cls, branch)} - {branch} for branch in BRANCHES}
    assert below[e.StorageError] == STORAGE
    assert below[e.EngineError] == {e.CircuitOpen}
    assert below[e.ProtocolError] == set()
    assert below[e.RequestError] == {*CLASSES} - STORAGE - {e.CircuitOpen, e.InvariantError, e.IsthmusError, *BRANCHES}


def test_no_refusal_catches_another_so_except_clauses_may_stand_in_any_order() -> None:
    leaves = [cls for cls in CLASSES if cls not in {e.IsthmusError, *BRANCHES}]
    assert not [(one, other) for one, other in itertools.permutations(leaves, 2) if issubclass(one, other)]


def test_what_is_not_known_is_left_out_of_the_message() -> None:
    assert str(e.AlreadyExists("topic", "orders")) == "topic 'orders' exists already"
    assert str(e.Unsupported("no queues here")) == "no queues here"
    assert str(e.DirectoryInUse("data", None, None)).startswith("data is held by another process;")
    assert "no type name (header ce_type)" in str(e.UnknownType("orders", None))


def test_lists_are_kept_as_they_were_when_the_error_was_made() -> None:
    ranges = ["LSN 1 to 2"]
    damaged = e.Damaged("data", ranges)
    ranges.append("LSN 5 to 6")
    assert damaged.ranges == ("LSN 1 to 2",)
