"""Facts: their encoding, and that those of the log itself can be applied again over what came of them.

The same for the facts of others: tests/model/test_catalog_model.py (catalogue, streams), test_ledger_model.py (queues).
"""

import types
from collections.abc import Callable
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.clock import ManualClock
from isthmus.errors import StorageError
from isthmus.log import facts
from isthmus.log.journal import Journal
from isthmus.log.storage import MemoryStorage
from support.opened import P0, P1

KINDS: Final[tuple[type[facts.Fact], ...]] = get_args(facts.AnyFact)
LEAVES: Final[dict[object, st.SearchStrategy[Any]]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(max_size=5),
    bytes: st.binary(max_size=5),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    type(None): st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - types have no common type
    """Values of an annotation."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return st.sampled_from(arguments)
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of([values_of(each) for each in arguments])
    if get_origin(kind) is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if get_origin(kind) is tuple:
        return st.tuples(*[values_of(each) for each in arguments])
    if kind in LEAVES:
        return LEAVES[kind]
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{field.name: values_of(field.type) for field in fields})


# ---- encoding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(st.data())
def test_a_fact_is_decoded_to_what_was_encoded(kind: type[facts.Fact], data: st.DataObject) -> None:
    fact = data.draw(values_of(kind))

    assert facts.decode(facts.encode(fact)) == fact


def test_all_facts_can_be_decoded_and_each_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]

    assert set(KINDS) == set(facts.Fact.__subclasses__())
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("payload", [b"", b"\x02\x91\x01"])
def test_another_schema_version_is_refused_with_what_to_do(payload: bytes) -> None:
    with pytest.raises(StorageError, match="upgrade"):
        facts.decode(payload)


NOT_TEXT = b"\x01\x95\x28\x01\xa1\xff\xa1x\x01"
"""A group whose namespace is no UTF-8."""


@pytest.mark.parametrize(
    "payload", [b"\x01", b"\x01\x92\xcd\x03\xe7\x01", b"\x01\x91\x01", b"\x01\x92\x15\xa1x", NOT_TEXT]
)
def test_an_unknown_or_misshapen_fact_is_refused_with_what_to_do(payload: bytes) -> None:
    with pytest.raises(StorageError, match="upgrade"):
        facts.decode(payload)


def test_a_fact_of_a_later_minor_version_with_more_fields_is_read() -> None:
    later = facts.encode(facts.GroupRemoved(7))[:1] + msgspec.msgpack.encode([41, 7, "more"])

    assert facts.decode(later) == facts.GroupRemoved(7)


# ---- replay ------------------------------------------------------------------------------------------------------


class History:
    """Facts of the log as a store would write them: epochs, offsets and log starts rise."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.epoch = 0
        self.log_starts = {P0: 0, P1: 0}
        self.ends = {P0: 0, P1: 0}

    def run(self) -> list[facts.Fact]:
        kinds = st.sampled_from([self.opened, self.closed, self.removed, self.lost, self.trimmed, self.state])
        return [self.draw(kinds)() for _ in range(self.draw(st.integers(1, 12)))]

    def number(self, low: int = 0, high: int = 9) -> int:
        number: int = self.draw(st.integers(low, high))
        return number

    def ranges(self) -> facts.Ranges:
        start = self.number()
        return ((start, start + self.number(1)),)

    def opened(self) -> facts.Fact:
        self.epoch += 1
        return facts.StoreOpened(self.epoch, f"boot {self.number(0, 2)}", 1)

    def closed(self) -> facts.Fact:
        return facts.StoreClosed(self.epoch, 1)

    def removed(self) -> facts.Fact:
        return facts.SegmentsRemoved(self.ranges())

    def lost(self) -> facts.Fact:
        return facts.LossAccepted(self.ranges(), self.number(), "lost")

    def trimmed(self) -> facts.Fact:
        partition = self.draw(st.sampled_from([P0, P1]))
        self.log_starts[partition] += self.number()
        self.ends[partition] = max(self.ends[partition], self.log_starts[partition])
        return facts.Trimmed(partition, self.log_starts[partition], "age", 1)

    def state(self) -> facts.Fact:
        partition = self.draw(st.sampled_from([P0, P1]))
        self.ends[partition] += self.number()
        end = self.ends[partition]
        epochs, producers = ((self.epoch, end),), ((self.number(), 0, ((0, 0, end),)),)
        return facts.PartitionState(partition, self.log_starts[partition], end, epochs, producers, self.number())


def applied(journal: Journal, history: list[facts.Fact]) -> list[facts.Fact]:
    """The state after these facts."""
    for lsn, fact in enumerate(history):
        journal.appliers[type(fact)](fact, lsn)
    return list(journal.export())


@given(st.data())
def test_facts_of_the_log_replayed_from_any_earlier_one_over_the_later_state_change_nothing(
    data: st.DataObject,
) -> None:
    journal = Journal(MemoryStorage(), ManualClock())
    for partition in (P0, P1):
        journal.add_partition(partition, "fsync")
    history = History(data.draw).run()
    state = applied(journal, history)

    for start in range(len(history)):
        assert applied(journal, history[start:]) == state


@pytest.mark.parametrize(
    ("written", "fact"),
    [
        (
            "01961803a764656661756c74a173a666616e6f7574a764757261626c65",
            facts.ExchangeSet(3, "default", "s", "fanout", "durable"),
        ),
        ("01941a0307a26575", facts.BindingSet(3, 7, "eu")),
        ("01941b0307a26575", facts.BindingRemoved(3, 7, "eu")),
    ],
)  # fmt: skip
def test_facts_of_older_journals_are_read_with_what_they_did_not_say_yet(written: str, fact: facts.Fact) -> None:
    assert facts.decode(bytes.fromhex(written)) == fact
