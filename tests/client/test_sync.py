"""The blocking bus, on the real engine in memory and in a directory."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification, State
from isthmus.client.sync import SyncBus, connect
from isthmus.errors import Closed, InvalidArgument, WrongEventType


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


class Customer(State):
    customer_id: str


ORDERS = Stream[Placed]("orders", key="order_id")
CUSTOMERS = Stream[Customer]("customers", key="customer_id")
WORK = Queue[Placed]("work")


def taken(bus: SyncBus) -> list[str]:
    with bus.take(WORK, 10, wait="0ms") as messages:
        return [message.event.order_id for message in messages]


def test_publish_and_read() -> None:
    with connect("memory://") as bus:
        receipt = bus.publish(ORDERS, Placed(order_id="1"), Placed(order_id="2"))

        assert (receipt.offset, receipt.count) == (0, 2)
        assert [m.event.order_id for m in bus.read(ORDERS, stop="end")] == ["1", "2"]


def test_giving_up_an_iteration_frees_the_reader() -> None:
    with connect("memory://") as bus:
        bus.publish(ORDERS, Placed(order_id="1"))

        reading = bus.read(ORDERS)
        assert next(reading).event == Placed(order_id="1")
        del reading

        assert not bus._core._reading


def test_leaving_a_take_block_acknowledges() -> None:
    with connect("memory://") as bus:
        bus.publish(WORK, Placed(order_id="1"))

        assert taken(bus) == ["1"]
        assert taken(bus) == []


def test_an_exception_hands_back() -> None:
    with connect("memory://") as bus:
        bus.publish(WORK, Placed(order_id="1"))
        with pytest.raises(KeyError), bus.take(WORK):
            raise KeyError

        assert taken(bus) == ["1"]


def test_messages_settle_when_they_are_told_to() -> None:
    with connect("memory://") as bus:
        bus.publish(WORK, Placed(order_id="1"), Placed(order_id="2"))
        with pytest.raises(KeyError), bus.take(WORK, 2) as messages:
            messages[0].extend("60s")
            messages[0].ack()
            messages[1].reject("no")
            raise KeyError

        assert taken(bus) == []
        assert [letter.reason for letter in bus.run(bus.admin.dead_letters("work.dead", 10))] == ["no"]


def test_batch_delete_declare_and_flush() -> None:
    with connect("memory://") as bus:
        bus.declare(ORDERS, WORK)
        with bus.batch() as batch:
            batch.add(ORDERS, Placed(order_id="1"))
            batch.add(CUSTOMERS, Customer(customer_id="c-1"))
            batch.delete(CUSTOMERS, "c-2")
        bus.delete(CUSTOMERS, "c-1")
        bus.flush()

        assert sum(run.count for run in batch.appended) == 3
        assert [m.deleted for m in bus.read(CUSTOMERS, stop="end")] == [False, True, True]


def test_a_batch_is_dropped_by_an_exception() -> None:
    with connect("memory://") as bus:
        with pytest.raises(KeyError), bus.batch() as batch:
            batch.add(ORDERS, Placed(order_id="1"))
            raise KeyError

        assert list(bus.read(ORDERS, stop="end")) == []


def test_errors_come_through() -> None:
    with connect("memory://") as bus:
        with pytest.raises(WrongEventType):
            bus.publish(ORDERS, Cancelled(order_id="1"))  # type: ignore[misc]
        with pytest.raises(InvalidArgument, match="stop"):
            next(bus.read(ORDERS, stop="tomorrow"))  # type: ignore[arg-type]


def test_several_threads_may_use_it() -> None:
    with connect("memory://") as bus:
        threads = [threading.Thread(target=bus.publish, args=(ORDERS, Placed(order_id=str(n)))) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(m.event.order_id for m in bus.read(ORDERS, stop="end")) == ["0", "1", "2", "3", "4"]


def test_before_and_after_it_is_closed() -> None:
    bus = connect("memory://")
    with pytest.raises(Closed):
        bus.publish(ORDERS, Placed(order_id="1"))
    bus.start()
    with pytest.raises(InvalidArgument, match="started already"):
        bus.start()
    bus.close()
    bus.close()

    with pytest.raises(Closed):
        bus.publish(ORDERS, Placed(order_id="1"))


def test_what_a_program_leaves_open_is_flushed_and_closed(tmp_path: Path) -> None:
    program = f"""
from isthmus import Notification, Stream, sync

class Placed(Notification):
    order_id: str

orders = Stream[Placed]("orders", key="order_id")
bus = sync.connect({str(tmp_path / "data")!r}, linger="1h")
bus.start()
bus.declare(orders)
core = bus._core

async def hand_in():
    core.send_nowait(core.entry(orders, (Placed(order_id="1"),), {{}}))

bus.run(hand_in())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    with connect(str(tmp_path / "data")) as bus:
        assert [m.event.order_id for m in bus.read(ORDERS, stop="end")] == ["1"]
