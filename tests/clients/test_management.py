"""`rabbitmqadmin`, both of them, on the management API of Isthmus and of RabbitMQ, and the two APIs key by key."""

import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pika
import pytest

from support.amqp_brokers import AmqpBroker, amqp_broker

SECONDS: Final = 30
Tool = Callable[..., str]

pytestmark = pytest.mark.process


def ask(broker: AmqpBroker, path: str, method: str = "GET", body: object = None) -> Any:  # noqa: ANN401 - JSON
    """The document at a path of the management API."""
    at = urlsplit(broker.api_url)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{at.hostname}:{at.port}/api/{path}", data, method=method)
    request.add_header("Authorization", "Basic " + b64encode(f"{at.username}:{at.password}".encode()).decode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - our own server
        text = answer.read()
    return json.loads(text) if text else None


# ---- rabbitmqadmin -------------------------------------------------------------------------------------------------


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


@pytest.fixture
def script(amqp_broker: AmqpBroker) -> Tool:
    """The script of RabbitMQ 3."""
    found = shutil.which("rabbitmqadmin", path="/usr/bin:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("there is no script `rabbitmqadmin` here: `apt install rabbitmq-server`")
    at = urlsplit(amqp_broker.api_url)
    return lambda *words: run([found, "-H", str(at.hostname), "-P", str(at.port), "-f", "raw_json", *words])


@pytest.fixture
def program(amqp_broker: AmqpBroker) -> Tool:
    """The program of RabbitMQ 4."""
    found = shutil.which("rabbitmqadmin", path=os.environ.get("CARGO_BIN", str(Path.home() / ".cargo" / "bin")))
    if found is None:
        pytest.skip("there is no program `rabbitmqadmin` here: `cargo install rabbitmqadmin` (CARGO_BIN)")
    at = urlsplit(amqp_broker.api_url)
    return lambda *words: run([found, "--host", str(at.hostname), "--port", str(at.port), *words])


def test_the_script_makes_looks_and_removes(script: Tool, tmp_path: Path) -> None:
    name = f"script-{uuid.uuid4().hex[:6]}"
    script("declare", "exchange", f"name={name}", "type=topic")
    script("declare", "queue", f"name={name}", "durable=true", 'arguments={"x-max-length": 9}')
    script("declare", "binding", f"source={name}", f"destination={name}", "routing_key=a.*")
    script("declare", "policy", f"name={name}", f"pattern=^{name}$", 'definition={"max-length": 5}', "apply-to=queues")
    script("publish", f"exchange={name}", "routing_key=a.b", "payload=hello")

    (got,) = json.loads(script("get", f"queue={name}", "ackmode=ack_requeue_false"))
    queues = {row["name"]: row for row in json.loads(script("list", "queues"))}
    bindings = [row for row in json.loads(script("list", "bindings")) if row["source"] == name]
    policies = [row["name"] for row in json.loads(script("list", "policies"))]
    script("export", str(tmp_path / "out.json"))
    script("import", str(tmp_path / "out.json"))
    for kind in ("policy", "queue", "exchange"):
        script("delete", kind, f"name={name}")

    assert (got["payload"], got["routing_key"]) == ("hello", "a.b")
    assert queues[name]["arguments"] == {"x-max-length": 9}
    assert [row["routing_key"] for row in bindings] == ["a.*"]
    assert name in policies
    assert name not in {row["name"] for row in json.loads(script("list", "queues"))}


def test_the_script_lists_everything(script: Tool) -> None:
    kinds = "users vhosts connections exchanges bindings permissions channels consumers queues policies nodes".split()

    found = {kind: json.loads(script("list", kind)) for kind in kinds}
    overview = json.loads(script("show", "overview"))

    assert all(isinstance(rows, list) for rows in found.values())
    assert len(found["nodes"]) == len(overview) == 1


def test_the_program_makes_looks_and_removes(program: Tool) -> None:
    name = f"program-{uuid.uuid4().hex[:6]}"
    program("declare", "queue", "--name", name, "--type", "quorum")
    program("declare", "exchange", "--name", name, "--type", "topic")
    way = ("--source", name, "--destination-type", "queue", "--destination", name, "--routing-key", "a.*")
    program("declare", "binding", *way)
    program("publish", "message", "--exchange", name, "--routing-key", "a.b", "--payload", "hello")

    got = program("get", "messages", "--queue", name, "--count", "1", "--ack-mode", "ack_requeue_false")
    listed = program("list", "queues") + program("list", "bindings") + program("list", "exchanges")
    program("declare", "vhost", "--name", name)
    program("delete", "vhost", "--name", name)
    program("delete", "queue", "--name", name)
    program("delete", "exchange", "--name", name)

    assert "hello" in got
    assert listed.count(name) >= 3
    assert name not in program("list", "queues")


@pytest.mark.parametrize(
    "words",
    [
        "show overview",
        "show churn",
        "list nodes",
        "list vhosts",
        "list users",
        "list permissions",
        "list policies",
        "list connections",
        "list channels",
        "list consumers",
        "health_check local_alarms",
        "health_check cluster_wide_alarms",
        "health_check node_is_quorum_critical",
        "health_check protocol_listener --protocol amqp",
        "definitions export --stdout",
        "definitions export_from_vhost --stdout",
    ],
)
def test_the_program_understands_all_answers(program: Tool, amqp_broker: AmqpBroker, words: str) -> None:
    if amqp_broker.is_old:
        pytest.skip("it is made for RabbitMQ 4, which tells more than 3.10")
    connection = pika.BlockingConnection(pika.URLParameters(amqp_broker.url))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_consume(queue, lambda *_: None)
    assert program(*words.split())

    connection.close()


# ---- key by key ----------------------------------------------------------------------------------------------------

PATHS: Final = (
    "overview",
    "whoami",
    "nodes",
    "vhosts",
    "vhosts/%2F",
    "users",
    "permissions",
    "permissions/%2F/guest",
    "exchanges",
    "exchanges/%2F/ex",
    "queues",
    "queues/%2F/q",
    "queues?page=1&page_size=2",
    "queues?columns=name,messages&sort=name&sort_reverse=true",
    "bindings",
    "bindings/%2F/e/ex/q/q",
    "queues/%2F/q/bindings",
    "exchanges/%2F/ex/bindings/source",
    "connections",
    "channels",
    "consumers",
    "policies",
    "policies/%2F/p",
    "definitions",
    "definitions/%2F",
    "aliveness-test/%2F",
    "health/checks/alarms",
)

OF_USERS: Final = ("users", "permissions", "permissions/%2F/guest")
"""What has no rows on a broker that has no users yet."""

NOT_TOLD: Final = frozenset(
    # Of one process of Erlang, of its storage, and of plugins.
    "backing_queue_status consumer_capacity consumer_utilisation garbage_collection memory message_bytes_paged_out"
    " message_bytes_ram messages_paged_out messages_ram messages_ready_ram messages_unacknowledged_ram reductions"
    " recoverable_slaves head_message_timestamp idle_since pending_raft_commands auth_mechanisms cluster_links"
    " config_files context_switches contexts disk_free disk_free_limit enabled_plugins fd_total fd_used"
    " gc_bytes_reclaimed gc_num log_files mem_calculation_strategy mem_limit mem_used metrics_gc_queue_length"
    " net_ticktime proc_total proc_used ra_open_file_metrics sockets_total sockets_used disable_stats"
    " enable_queue_totals sample_retention_policies applications exchange_types socket_opts"
    # What is not counted.
    " message_stats recv_cnt recv_oct send_cnt send_oct send_pend channel_closed channel_created connection_closed"
    " connection_created queue_created queue_declared queue_deleted"
    # Of certificates, and of what TLS has agreed on.
    " peer_cert_issuer peer_cert_subject peer_cert_validity ssl_cipher ssl_hash ssl_key_exchange ssl_protocol"
    # Never told.
    " password_hash hashing_algorithm user_who_performed_action global_parameters"
    # Of rows that are not there while there is no user.
    " users permissions".split()
)
"""What RabbitMQ 3.10 tells and Isthmus does not, anywhere; docs/management.md says so in words."""

PREFIXES: Final = ("io_", "mnesia_", "msg_store_", "queue_index_")


def keys(value: object, place: str = "") -> Iterator[str]:
    """The places of all fields of a document; what rows of a list have is together."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in NOT_TOLD or name.endswith("_details") or name.startswith(PREFIXES):
                continue
            yield place + name
            # What stands in these is named by who uses it.
            if name not in ("arguments", "client_properties", "cluster_state", "definition"):
                yield from keys(each, f"{place}{name}.")
    elif isinstance(value, list):
        for each in value:
            yield from keys(each, place)


def fill(broker: AmqpBroker) -> pika.BlockingConnection:
    """Something of everything, and a connection with a channel and a consumer."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    channel.exchange_declare("ex", "topic", durable=True)
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "ex", "a.*")
    channel.confirm_delivery()
    channel.basic_publish("ex", "a.b", b"x", pika.BasicProperties(delivery_mode=2))
    channel.basic_qos(prefetch_count=5)
    channel.queue_declare("quiet")
    channel.basic_consume("quiet", lambda *_: None)
    ask(broker, "policies/%2F/p", "PUT", {"pattern": "^q$", "definition": {"max-length": 5}, "apply-to": "queues"})
    return connection


def told(broker: AmqpBroker) -> dict[str, set[str]]:
    connection = fill(broker)
    found: dict[str, set[str]] = {}
    while not ask(broker, "channels") or "consumers" not in ask(broker, "queues/%2F/q"):  # RabbitMQ counts every 5 s
        connection.process_data_events(0.2)
    for path in PATHS:
        if broker.is_old or path not in OF_USERS:
            found[path] = set(keys(ask(broker, path)))
    connection.close()
    return found


def test_isthmus_tells_all_that_rabbitmq_tells_but_what_is_listed(tmp_path: Path, built_clients: None) -> None:
    with amqp_broker("rabbitmq", tmp_path / "theirs") as theirs:
        wanted = told(theirs)
    (tmp_path / "ours").mkdir()
    with amqp_broker("isthmus", tmp_path / "ours") as ours:
        found = told(ours)

    missing = {path: wanted[path] - found[path] for path in found if wanted[path] - found[path]}
    assert missing == {}
