"""Accepting: addresses, Unix sockets and who is behind them, limits, and the end of it."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from isthmus.clock import SystemClock
from isthmus.errors import InvalidArgument
from isthmus.server.admission import Admission
from isthmus.server.listener import Listener, bind_tcp, bind_unix, peer_uid
from isthmus.server.tcp import Driver
from support.echo import EchoService, Peer, echoing


async def test_the_peer_is_who_the_socket_says() -> None:
    async with echoing() as here:
        peer = await here.connect()

        assert await peer("who") == [f"None tls=False trusted=False 127.0.0.1 {here.listener.port}"]


async def test_more_than_the_limit_are_refused_and_the_others_served(caplog: pytest.LogCaptureFixture) -> None:
    async with echoing(driver=Driver(SystemClock(), admission=Admission(connections_max=2))) as here:
        first, second = await here.connect(), await here.connect()
        await here.door(1)

        third = await here.connect()

        assert await third.ended()
        assert "the server has 2 connections" in caplog.text
        assert await first("echo a") == ["a"]
        await second.close()
        await here.until(lambda: here.driver.admission.connections == 1)
        fourth = await here.connect()
        assert await fourth("echo b") == ["b"]


async def test_a_stopped_listener_accepts_nobody_and_keeps_who_is_there() -> None:
    async with echoing() as here:
        peer = await here.connect()
        await peer("echo a")
        port = here.listener.port

        await here.listener.stop()

        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await peer("echo b") == ["b"]


async def test_a_process_of_the_same_user_is_trusted_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    service, driver = EchoService(open_to_all=False), Driver(SystemClock())
    listener = Listener(driver, service.open, bind_unix(path), name="echo")
    listener.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (listener.path, listener.host, listener.port) == (str(path), "", 0)

    peer = Peer(*await asyncio.open_unix_connection(str(path)))

    assert await peer("who") == ["None tls=False trusted=True  0"]
    await listener.stop()
    await driver.drain(1_000)
    await peer.close()
    assert not path.exists()


def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    bind_unix(path).close()
    assert path.exists()

    bind_unix(path).close()

    path.unlink()
    path.write_text("mine")
    with pytest.raises(InvalidArgument, match="is there and is no socket"):
        bind_unix(path)
    assert path.read_text() == "mine"


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="longer than the 103 bytes"):
        bind_unix(tmp_path / ("x" * 100))


def test_the_system_knows_whose_process_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()


def test_addresses_that_cannot_be_used_are_named() -> None:
    with bind_tcp("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(InvalidArgument, match="Address already in use"):
            bind_tcp("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(InvalidArgument, match="no address of this machine"):
        bind_tcp("no.such.host.invalid", 0)
    with pytest.raises(InvalidArgument, match="cannot be used"):
        bind_tcp("192.0.2.1", 0)


def test_a_name_with_both_is_bound_where_most_clients_look() -> None:
    with bind_tcp("localhost", 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
