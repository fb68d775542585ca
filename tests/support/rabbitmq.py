"""A real RabbitMQ on this machine: the one that the system has installed, on a directory and on ports of its own.

For tests and benchmarks that hold Isthmus against it. Where it is not installed `unusable` says so, and whoever asked
skips. It runs as whoever asks, without the system's wrapper, which wants to be root and to become another user.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

HOMES: Final = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin", "/opt/homebrew/sbin")
START_SECONDS: Final = 90
STOP_SECONDS: Final = 30
PAUSE_SECONDS: Final = 0.05
USER: Final = "guest"
"""Name and password of the user that a new node has."""


class RabbitMQ(Struct, frozen=True):
    """Where a node answers: AMQP, and the management API when it was asked for (else 0)."""

    port: int
    api_port: int
    directory: Path

    @property
    def url(self) -> str:
        """Its address for clients, in the virtual host `/`."""
        return f"amqp://{USER}:{USER}@127.0.0.1:{self.port}/"

    @property
    def api_url(self) -> str:
        """The root of its management API."""
        return f"http://127.0.0.1:{self.api_port}"

    def api(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the management API; what it answered, decoded, None for nothing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api_url}/api/{path}", data, method=method)  # noqa: S310 - our own node
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{USER}".encode()).decode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:  # noqa: S310 - our own node
            text = answer.read()
        return json.loads(text) if text else None

    @contextmanager
    def vhost(self, name: str) -> Generator[str]:
        """A virtual host of one's own for the time of the block; gives its address for clients."""
        self.api("PUT", f"vhosts/{quote(name, safe='')}")
        self.api("PUT", f"permissions/{quote(name, safe='')}/{USER}", {"configure": ".*", "write": ".*", "read": ".*"})
        try:
            yield f"{self.url}{quote(name, safe='')}"
        finally:
            self.api("DELETE", f"vhosts/{quote(name, safe='')}")


def unusable(words: str = "") -> str | None:
    """Why RabbitMQ cannot be run here, None when it can. `words` go in front."""
    missing = [
        what
        for what, found in (
            ("rabbitmq-server", _script()),
            ("erl", shutil.which("erl")),
            ("epmd", shutil.which("epmd")),
        )
        if found is None
    ]
    return f"{words} there is no `{missing[0]}` here".strip() if missing else None


def _script() -> str | None:
    return shutil.which("rabbitmq-server", path=os.pathsep.join(HOMES))


@contextmanager
def rabbitmq(directory: Path, *, api: bool = True, settings: str = "") -> Generator[RabbitMQ]:
    """A node for the time of the block.

    Args:
        directory: for its data, its settings and its logs.
        api: with the management API.
        settings: more lines of rabbitmq.conf.

    Raises:
        AssertionError: it did not come up; the text has what it said.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ports = free_ports(4)
    node = RabbitMQ(ports[0], ports[1] if api else 0, directory)
    _configure(node, settings)
    environment = os.environ | _environment(node, ports[2], ports[3])
    # Erlang would leave a daemon behind that maps names of nodes to ports: it gets one that ends with the node.
    mapper = subprocess.Popen(
        [str(shutil.which("epmd")), "-port", str(ports[3]), "-address", "127.0.0.1"], env=environment
    )
    with _running(mapper), (directory / "out.log").open("wb") as out:
        script = str(_script())
        server = subprocess.Popen([script], stdout=out, stderr=out, env=environment, start_new_session=True)
        with _running(server):
            _wait_for(server, node)
            yield node


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]


def _configure(node: RabbitMQ, settings: str) -> None:
    lines = [f"listeners.tcp.1 = 127.0.0.1:{node.port}", "disk_free_limit.absolute = 50MB", settings]
    if node.api_port:
        lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {node.api_port}"]
    (node.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    (node.directory / "plugins").write_text("[rabbitmq_management]." if node.api_port else "[].")


def _environment(node: RabbitMQ, between_nodes: int, mapper: int) -> dict[str, str]:
    """What its scripts read: every path below the directory, every port its own, and one core's worth of threads."""
    own = node.directory
    return {
        "HOME": str(own),  # of the cookie
        "RABBITMQ_MNESIA_BASE": str(own / "data"),
        "RABBITMQ_LOG_BASE": str(own / "log"),
        "RABBITMQ_CONF_ENV_FILE": str(own / "none"),
        "RABBITMQ_CONFIG_FILE": str(own / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(own / "plugins"),
        "RABBITMQ_NODENAME": f"isthmus{node.port}@localhost",
        "RABBITMQ_DIST_PORT": str(between_nodes),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
    }


def _wait_for(server: "subprocess.Popen[bytes]", node: RabbitMQ) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        if _answers(node):
            return
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(
        f"RabbitMQ did not come up: {(node.directory / 'out.log').read_text(errors='replace')[-2000:]}"
    )


def _answers(node: RabbitMQ) -> bool:
    """Whether it begins to shake hands, and its management API serves."""
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", node.port), 1) as probe:
            probe.settimeout(START_SECONDS)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            if not probe.recv(1):
                return False
        return not node.api_port or bool(node.api("GET", "whoami"))
    return False


@contextmanager
def _running(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Ends a process with the block, by force when it does not end by itself."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
