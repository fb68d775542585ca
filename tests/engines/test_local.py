"""One broker a directory: who shares it, who hops to it, who must wait for it, and who may only look."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.client.loop_thread import LoopThread
from isthmus.clock import ManualClock
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.engines.hop import HoppingEngine
from isthmus.engines.local import with_segments_of
from isthmus.errors import Closed, DirectoryInUse, InvalidArgument, NotAStore, ReadOnly
from isthmus.limits import IDLE_MARKER_MS, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from support.cli import PATIENCE_S, finished, started
from support.engines import STREAM, publish, read

TRY = """
import asyncio, sys
from isthmus.engines.connect import open_engine

async def main() -> None:
    try:
        engine = await open_engine(sys.argv[1], read_only=sys.argv[2] == "look")
    except Exception as error:
        print(type(error).__name__, getattr(error, "pid", None), flush=True)
        return
    print("open", [view.name for view in await engine.admin.topics()], flush=True)
    if sys.argv[2] == "hold":
        sys.stdin.readline()
    await engine.close()

asyncio.run(main())
"""


def command(url: str, how: str) -> list[str]:
    return [sys.executable, "-c", TRY, url, how]


def in_a_process(url: str, how: str) -> str:
    """What another process says that tries to open a store."""
    done = finished(command(url, how))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "data")


@pytest.fixture
def other() -> Generator[LoopThread]:
    """A second event loop, in a thread."""
    thread = LoopThread("other")
    yield thread
    thread.stop()


def broker_of(engine: Engine) -> Broker:
    assert isinstance(engine, EmbeddedEngine)
    return engine.broker


class TestSharing:
    async def test_engines_of_one_directory_share_a_broker_until_the_last_closes(self, url: str) -> None:
        first, second = await open_engine(url), await open_engine(url)
        broker = broker_of(first)
        assert broker_of(second) is broker

        await first.close()
        await first.close()
        still_open = not broker.journal.closed
        with pytest.raises(Closed):
            await first.declare(STREAM)
        await second.declare(STREAM)
        await second.close()

        assert still_open
        assert broker.journal.closed

    async def test_all_who_open_at_once_share_one(self, url: str) -> None:
        engines = await asyncio.gather(*(open_engine(url) for _ in range(5)))

        assert len({id(broker_of(engine)) for engine in engines}) == 1
        await asyncio.gather(*(engine.close() for engine in engines))
        assert broker_of(engines[0]).journal.closed

    async def test_who_opens_while_it_closes_gets_a_new_one(self, url: str) -> None:
        first = await open_engine(url)
        await first.declare(STREAM)

        _, second = await asyncio.gather(first.close(), open_engine(url))

        assert broker_of(second) is not broker_of(first)
        assert await second.partitions("orders") == 1
        await second.close()

    async def test_who_stops_waiting_for_the_closing_does_not_stop_it(self, url: str) -> None:
        first = await open_engine(url)
        await first.declare(STREAM)
        closing = asyncio.ensure_future(first.close())
        await asyncio.sleep(0)
        closing.cancel()

        second = await open_engine(url)

        assert closing.cancelled()
        assert broker_of(first).journal.closed
        assert await second.partitions("orders") == 1
        await second.close()

    async def test_who_stops_waiting_for_the_opening_does_not_stop_the_others(self, url: str) -> None:
        first, second = (asyncio.ensure_future(open_engine(url)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()

        engine = await second
        await engine.close()

        assert first.cancelled()
        assert broker_of(engine).journal.closed

    async def test_when_nobody_waits_any_more_it_is_closed_again(self, url: str) -> None:
        alone = asyncio.ensure_future(open_engine(url))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait([alone])

        assert alone.cancelled()
        assert in_a_process(url, "take") == "open []"

    async def test_a_failed_opening_is_told_to_all_and_leaves_the_place_free(self, tmp_path: Path) -> None:
        stray = tmp_path / "stray"
        stray.write_bytes(b"something else")

        results = await asyncio.gather(*(open_engine(str(tmp_path)) for _ in range(3)), return_exceptions=True)

        assert [type(result) for result in results] == [NotAStore] * 3
        assert stray.read_bytes() == b"something else"
        stray.unlink()
        engine = await open_engine(str(tmp_path))
        await engine.close()


class TestOtherLoops:
    async def test_an_engine_of_another_loop_hops_to_the_broker(self, url: str, other: LoopThread) -> None:
        here = await open_engine(url)
        await here.declare(STREAM)
        there = await asyncio.wrap_future(other.submit(open_engine(url)))

        await asyncio.wrap_future(other.submit(publish(there, "orders", "a")))

        assert isinstance(there, HoppingEngine)
        assert await read(here, "orders") == ["a"]
        await here.close()
        assert await asyncio.wrap_future(other.submit(there.partitions("orders"))) == 1
        await asyncio.wrap_future(other.submit(there.close()))
        assert broker_of(here).journal.closed

    async def test_many_loops_at_once_share_one_broker(self, url: str) -> None:
        threads = [LoopThread(f"loop {number}") for number in range(4)]

        engines = [asyncio.wrap_future(thread.submit(open_engine(url))) for thread in threads]
        kinds = [type(engine) for engine in await asyncio.gather(*engines)]

        assert sorted(kind.__name__ for kind in kinds) == ["EmbeddedEngine"] + ["HoppingEngine"] * 3
        for thread, engine in zip(threads, engines, strict=True):
            await asyncio.wrap_future(thread.submit(engine.result().close()))
        for thread in threads:
            await asyncio.to_thread(thread.stop)
        assert in_a_process(url, "take") == "open []"

    async def test_what_a_loop_left_open_when_it_ended_is_taken_over(self, url: str, other: LoopThread) -> None:
        left = await asyncio.wrap_future(other.submit(open_engine(url)))
        await asyncio.wrap_future(other.submit(left.declare(STREAM)))
        await asyncio.to_thread(other.stop)

        engine = await open_engine(url)

        assert broker_of(engine) is not broker_of(left)
        assert await engine.partitions("orders") == 1
        await engine.close()


@pytest.mark.process
class TestOtherProcesses:
    async def test_who_holds_the_directory_is_named(self, url: str) -> None:
        engine = await open_engine(url)
        assert in_a_process(url, "take") == f"DirectoryInUse {os.getpid()}"  # which cannot answer meanwhile

        await engine.close()

        assert in_a_process(url, "take") == "open []"

    async def test_what_another_process_holds_is_free_once_it_has_ended(self, url: str) -> None:
        with started(command(url, "hold")) as holder:
            assert holder.stdout is not None
            assert await asyncio.to_thread(holder.stdout.readline) == "open []\n"

            holder.send_signal(signal.SIGSTOP)
            with pytest.raises(DirectoryInUse) as refused:
                await open_engine(url)
            holder.send_signal(signal.SIGCONT)
            await asyncio.to_thread(holder.communicate, "\n", PATIENCE_S)

        assert refused.value.pid == holder.pid
        engine = await open_engine(url)
        await engine.close()

    async def test_others_reach_the_holder_by_its_socket(self, url: str) -> None:
        engine = await open_engine(url)
        await engine.declare(STREAM)

        assert await asyncio.to_thread(in_a_process, url, "take") == "open ['orders']"
        assert await asyncio.to_thread(in_a_process, url, "look") == "open ['orders']"

        assert stat.S_IMODE(os.lstat(f"{url}/isthmus.sock").st_mode) == 0o600
        await engine.close()
        assert not await asyncio.to_thread(Path(url, "isthmus.sock").exists)

    async def test_a_path_that_is_too_long_for_a_socket_has_it_elsewhere(self, tmp_path: Path) -> None:
        url = str(tmp_path / ("x" * 100))
        engine = await open_engine(url)
        await engine.declare(STREAM)

        assert await asyncio.to_thread(in_a_process, url, "take") == "open ['orders']"

        await engine.close()

    async def test_beside_the_holder_others_may_look(self, url: str) -> None:
        clock = ManualClock()
        engine = await open_engine(url, clock=clock)
        await engine.declare(STREAM)
        await clock.advance(IDLE_MARKER_MS)  # then the files say that it is durable

        assert in_a_process(url, "look") == "open ['orders']"

        await publish(engine, "orders", "a")
        await engine.close()

    async def test_a_child_of_a_fork_does_not_use_what_its_parent_opened(self, url: str) -> None:
        code = f"""
import asyncio, os
from isthmus.engines.connect import open_engine
async def child():
    try:
        await open_engine({url!r})
    except Exception as error:
        print(type(error).__name__, getattr(error, "pid", None) == os.getppid(), flush=True)
async def main():
    engine = await open_engine({url!r})
    return engine
loop = asyncio.new_event_loop()
engine = loop.run_until_complete(main())
pid = os.fork()
if not pid:
    asyncio.run(child())
    os._exit(0)
os.waitpid(pid, 0)
loop.run_until_complete(engine.close())
loop.close()
"""
        done: subprocess.CompletedProcess[str] = finished([sys.executable, "-W", "ignore", "-c", code])

        assert (done.stdout, done.returncode) == ("DirectoryInUse True\n", 0), done.stderr


class TestLooking:
    async def test_beside_the_holder_it_shows_what_is_known_to_be_durable_when_it_opens(self, url: str) -> None:
        clock = ManualClock()
        holder = await open_engine(url, clock=clock)
        await holder.declare(STREAM)
        await publish(holder, "orders", "a")
        await clock.advance(IDLE_MARKER_MS)  # then the files say that it is durable
        await publish(holder, "orders", "b")
        looker = await open_engine(url, read_only=True)

        assert await read(looker, "orders") == ["a"]
        await looker.close()
        assert await read(holder, "orders") == ["a", "b"]
        await holder.close()

    async def test_it_changes_nothing_and_says_so(self, url: str) -> None:
        holder = await open_engine(url)
        await holder.declare(STREAM)
        await holder.close()
        looker = await open_engine(url, read_only=True)

        with pytest.raises(ReadOnly):
            await publish(looker, "orders", "a")
        with pytest.raises(ReadOnly):
            await looker.admin.remove("orders")

        holder = await open_engine(url)
        assert await read(holder, "orders") == []
        await holder.close()
        await looker.close()


class TestSizes:
    def test_of_segments_go_into_the_other_options(self) -> None:
        known = BrokerOptions(journal=JournalOptions(checkpoint_bytes=1 << 20), housekeeping_ms=7)

        found = with_segments_of(SEGMENT_BYTES_MIN, known)

        assert (found.journal.segment_bytes, found.journal.checkpoint_bytes) == (SEGMENT_BYTES_MIN, 1 << 20)
        assert found.housekeeping_ms == 7
        assert with_segments_of(SEGMENT_BYTES_MAX, None).journal.segment_bytes == SEGMENT_BYTES_MAX

    @pytest.mark.parametrize("size", [-1, SEGMENT_BYTES_MIN - 1, SEGMENT_BYTES_MAX + 1])
    def test_of_segments_have_bounds(self, size: int) -> None:
        with pytest.raises(InvalidArgument, match="segment_bytes"):
            with_segments_of(size, None)
