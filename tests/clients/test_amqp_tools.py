"""The command-line tools of librabbitmq (Debian's amqp-tools), unmodified, on Isthmus and on RabbitMQ."""

import shutil
import subprocess
import uuid
from collections.abc import Callable

import pytest

from support.amqp_brokers import AmqpBroker

SECONDS = 30
Tool = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.process


@pytest.fixture
def tool(amqp_broker: AmqpBroker) -> Tool:
    """Runs `amqp-NAME` with arguments on the broker."""
    if shutil.which("amqp-publish") is None:
        pytest.skip("there is no `amqp-publish` here: `apt install amqp-tools`")

    def run(name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [f"amqp-{name}", f"--url={amqp_broker.url}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)

    return run


@pytest.fixture
def queue(tool: Tool) -> str:
    """The name of a durable queue."""
    name = f"tools-{uuid.uuid4().hex[:6]}"
    assert tool("declare-queue", "--durable", f"--queue={name}").stdout.strip() == name
    return name


def test_what_one_tool_publishes_another_gets(tool: Tool, queue: str) -> None:
    published = tool("publish", f"--routing-key={queue}", "--persistent", "--body=first")
    tool("publish", f"--routing-key={queue}", "--line-buffered", stdin="second\nthird\n")

    got = [tool("get", f"--queue={queue}") for _ in range(4)]

    assert published.returncode == 0, published.stderr
    assert [each.stdout.strip() for each in got] == ["first", "second", "third", ""]
    assert [each.returncode for each in got] == [0, 0, 0, 2]


def test_a_command_consumes_messages(tool: Tool, queue: str) -> None:
    for body in ("one", "two", "three"):
        tool("publish", f"--routing-key={queue}", f"--body={body}")

    consumed = tool("consume", f"--queue={queue}", "--count=3", "--prefetch-count=1", "cat")

    assert consumed.returncode == 0, consumed.stderr
    assert consumed.stdout == "onetwothree"


def test_a_command_listens_to_an_exchange(amqp_broker: AmqpBroker, tool: Tool) -> None:
    words = ["--exchange=amq.topic", "--routing-key=tools.#", "--count=1", "cat"]
    command = ["amqp-consume", f"--url={amqp_broker.url}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listener:
        # It does not say when its queue is bound.
        while listener.poll() is None:
            tool("publish", "--exchange=amq.topic", "--routing-key=tools.a", "--body=heard")
        out, _ = listener.communicate(timeout=SECONDS)

    assert (listener.returncode, out) == (0, "heard")


def test_a_deleted_queue_is_not_found(tool: Tool, queue: str) -> None:
    tool("publish", f"--routing-key={queue}", "--body=a")

    deleted = tool("delete-queue", f"--queue={queue}")
    missing = tool("get", f"--queue={queue}")

    assert deleted.stdout.strip() == "1"
    assert missing.returncode == 1
    assert f"NOT_FOUND - no queue '{queue}' in vhost '/'" in missing.stderr
