"""A server by itself: until it is ready, what it takes when nothing happens, and how long one waits beside a flood."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from bench.harness import MS, ROOT, Row, Settings, percentile, row, run_rounds, store
from bench.importing import ENVIRONMENT, start_ms
from isthmus.engines.connect import open_engine
from isthmus.protocols.kafka import codec, messages
from isthmus.protocols.kafka.codec import RequestHeader

SUBJECT: Final = "serving"
BASE: Final = "import asyncio, msgspec, click"
READY_MS_MAX: Final = 200
IDLE_MIB_MAX: Final = 50
WAIT_MS_MAX: Final = 20
CONNECTIONS: Final = 1_000
CONNECTIONS_FULL: Final = 10_000
ASKED: Final = 500
METADATA: Final = 3
VERSION: Final = 9
STARTS_A_ROUND: Final = 3
VALUE: Final = b"v" * 1_000


class Serving:
    """A server in a process of its own, with where it is found."""

    def __init__(self, process: "subprocess.Popen[str]", addresses: dict[str, str]) -> None:
        self.process = process
        self.addresses = addresses
        self.ready_ms = self.processor_ms()

    def processor_ms(self) -> float:
        """Processor time that it has taken; on an idle machine that is the time that its start takes."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """What it takes of the memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def connect(self, protocol: str = "kafka") -> socket.socket:
        """A connection to it."""
        host, _, port = self.addresses[protocol].rpartition(":")
        return socket.create_connection((host, int(port)))


@contextlib.contextmanager
def serving(settings: Settings) -> Generator[Serving]:
    """A server on a new store; both are gone afterwards."""
    with store(settings) as path:
        command = [sys.executable, "-m", "isthmus.cli.main", "serve", path, "--kafka", "0", "--native", "0", "--quiet"]
        # With the modules as they are once compiled, as `start_ms` has it.
        with subprocess.Popen(  # noqa: S603 - our own
            command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline().split() for _ in range(2)]
                yield Serving(process, {name: address for name, address, *_ in lines})
            finally:
                process.terminate()


def rows(settings: Settings) -> Iterator[Row]:
    ready, idle = [], []
    for _ in range(settings.rounds):
        base = min(start_ms(BASE) for _ in range(STARTS_A_ROUND))
        starts = []
        for _ in range(STARTS_A_ROUND):
            with serving(settings) as server:
                starts.append(server.ready_ms - base)
                idle.append(server.resident_mib())
        ready.append(min(starts))
    yield row(SUBJECT, "until it is ready", "no disk", ready, MS, bar=READY_MS_MAX, note=f"more than `{BASE}`")
    yield row(SUBJECT, "memory, idle", "no disk", idle, "MiB", bar=IDLE_MIB_MAX)
    count = CONNECTIONS_FULL if settings.full else CONNECTIONS
    yield row(SUBJECT, f"an idle connection, of {count:,}", "no disk", [kib_of_each(settings, count)], "KiB")
    for protocol in ("kafka", "native"):
        quiet = [wait_ms(settings, protocol, flood=False) for _ in range(settings.rounds)]
        yield row(SUBJECT, f"{protocol}: p99 of a request, alone", "no disk", quiet, MS)
        beside = [wait_ms(settings, protocol, flood=True) for _ in range(settings.rounds)]
        yield row(
            SUBJECT,
            f"{protocol}: p99 of a request, beside a flood of publishes",
            "fsync",
            beside,
            MS,
            bar=WAIT_MS_MAX,
        )


def kib_of_each(settings: Settings, count: int) -> float:
    """What a connection takes that has said who it is and nothing else."""
    with serving(settings) as server, contextlib.ExitStack() as open_ones:
        before = server.resident_mib()
        for _ in range(count):
            ask(open_ones.enter_context(server.connect()))
        return (server.resident_mib() - before) * 1024 / count


def ask(client: socket.socket) -> None:
    """Ask for the metadata of no topic, and wait for it."""
    header = codec.encode_header(RequestHeader(METADATA, VERSION, 1, "bench", 0))
    frame = header + codec.encode_request(METADATA, VERSION, messages.MetadataRequest())
    client.sendall(len(frame).to_bytes(4, "big") + frame)
    size = int.from_bytes(client.recv(4, socket.MSG_WAITALL), "big")
    client.recv(size, socket.MSG_WAITALL)


def wait_ms(settings: Settings, protocol: str, *, flood: bool) -> float:
    """The p99 of requests that need no disk."""
    with serving(settings) as server, flooded(server) if flood else contextlib.nullcontext():
        if protocol == "kafka":
            with server.connect() as client:
                took = [kafka_seconds(client) for _ in range(ASKED)]
        else:
            (took,) = run_rounds(Settings(settings.directory, 1), lambda: native_seconds(server))
        return percentile(took, 0.99) * 1e3


def kafka_seconds(client: socket.socket) -> float:
    """One request, there and back."""
    time.sleep(0.002)
    began = time.perf_counter()
    ask(client)
    return time.perf_counter() - began


async def native_seconds(server: Serving) -> list[float]:
    """Requests of the native protocol, there and back."""
    engine = await open_engine(f"isthmus://{server.addresses['native']}")
    await engine.start()
    took = []
    for _ in range(ASKED):
        await engine.clock.sleep_until(engine.clock.monotonic_ms() + 2)
        began = time.perf_counter()
        await engine.admin.queues()
        took.append(time.perf_counter() - began)
    await engine.close()
    return took


@contextlib.contextmanager
def flooded(server: Serving) -> Generator[None]:
    """Another process publishes as fast as it goes, for as long as the block lasts."""
    command = [sys.executable, "-m", "bench.serving", server.addresses["kafka"]]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own
        try:
            time.sleep(2)
            yield
        finally:
            process.kill()


def flood(bootstrap: str) -> None:
    """Publish until killed."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "log_level": 2})
    while True:
        try:
            producer.produce("flood", VALUE)
        except BufferError:
            producer.poll(0.01)
        producer.poll(0)


if __name__ == "__main__":
    flood(sys.argv[1])
