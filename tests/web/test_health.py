"""When a store is ready, and what stands against it in words."""

import pytest

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.log.commit import Space
from isthmus.log.storage import MemoryStorage
from isthmus.web.health import troubles
from support.brokers import world


async def test_an_open_store_is_ready() -> None:
    async with world() as w:
        assert troubles(w.broker) == []


async def test_before_and_after_that_it_is_not() -> None:
    broker = Broker(MemoryStorage(), ManualClock())

    assert troubles(broker) == ["the store is being opened"]
    await broker.open()
    assert troubles(broker) == []
    await broker.close()
    assert troubles(broker) == ["the store is closed"]


async def test_what_stands_against_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        with monkeypatch.context() as patch:
            patch.setattr(w.broker.journal, "space", Space(full=True))

            assert troubles(w.broker) == ["the disk is full"]


async def test_a_store_that_was_opened_for_reading_is_not_ready() -> None:
    storage, clock = MemoryStorage(), ManualClock()
    first = Broker(storage, clock)
    await first.open()
    await first.close()
    reader = Broker(storage, clock)
    await reader.open(read_only=True)

    assert troubles(reader) == ["the store was opened for reading only"]
    await reader.close()


async def test_a_damaged_store_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        with monkeypatch.context() as patch:
            patch.setattr(w.broker.journal, "damage", ("a group at 7",))

            assert troubles(w.broker) == ["the store is damaged and can only be read; see `isthmus log verify`"]
