"""Imports go down only: the table of who may import what, and the proof that the source keeps to it.

The table is the rule; it names files that later steps bring, and a file that it does not name fails, so that each new
file gets its place before it gets its imports.
"""

import graphlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import pytest

from support.source import ROOT, Import, Module, imports, imports_at_start, module_of, modules

# ---- the table ---------------------------------------------------------------------------------------------------


class Room(NamedTuple):
    """Files and what they may import of Isthmus, both as patterns of dotted names without `isthmus.`.

    `{own}` stands for the folder of the importing file; `isthmus` is the package's own file with the public names.
    """

    files: str
    may_import: str


LEAF: Final = "record errors limits clock definition views ranges scram"
PURE_LOG: Final = (
    "log.format log.batch log.compression log.headers log.varint log.index log.facts log.dedup log.times log.keys"
    " log.search"
)
BATCH: Final = "log.batch log.headers"
LEDGER: Final = "lenses.queue.changes lenses.queue.rows lenses.queue.wheel lenses.queue.order"
ENGINE_PORT: Final = "engines.base"
PUBLIC: Final = "isthmus types sync"
DOOR: Final = "protocols.door"

ROOMS: Final = (
    # The package's own files: they define nothing and import late.
    Room("isthmus", "client.* types sync errors"),
    Room("types sync", f"{LEAF} client.*"),
    # Leaf: anyone may import these, they import each other.
    Room(LEAF, LEAF),
    # One log. Seen from outside: partition and journal; batches and header blocks are for anyone above the leaf.
    Room(PURE_LOG, f"{LEAF} {PURE_LOG}"),
    Room("log.storage", LEAF),
    # A partition and a segment ask little of the journal that holds them, and name it as a protocol of their own.
    Room("log.scan log.files", f"{LEAF} {PURE_LOG} log.storage"),
    Room("log.tail log.pending", LEAF),
    Room("log.ahead", f"{LEAF} log.partition"),
    Room("log.partition", f"{LEAF} {PURE_LOG}"),
    Room("log.segment", f"{LEAF} {PURE_LOG} log.storage log.scan log.files log.partition"),
    Room("log.reading", f"{LEAF} {PURE_LOG} log.ahead log.storage log.partition log.segment"),
    Room("log.promotion", f"{LEAF} {PURE_LOG} log.tail log.pending log.partition log.segment"),
    Room("log.unit", f"{LEAF} {PURE_LOG} log.pending log.partition log.promotion"),
    Room("log.commit", f"{LEAF} {PURE_LOG} log.storage log.segment"),
    Room(
        "log.journal",
        f"{LEAF} {PURE_LOG} log.storage log.files log.tail log.pending log.segment log.commit log.partition"
        " log.promotion log.unit log.reading",
    ),
    # Opening builds the journal, and a checkpoint reads it; so both stand above it.
    Room("log.checkpoint", f"{LEAF} {PURE_LOG} log.storage log.journal"),
    Room(
        "log.recovery",
        f"{LEAF} {PURE_LOG} log.storage log.scan log.segment log.chain log.commit log.promotion log.journal"
        " log.checkpoint",
    ),
    Room("log.retention", f"{LEAF} {PURE_LOG} log.storage log.segment log.commit log.journal log.partition"),
    Room("log.chain", f"{LEAF} log.segment"),
    Room("log.rewrite", f"{LEAF} {PURE_LOG} log.storage log.scan log.segment log.commit"),
    Room(
        "log.compaction",
        f"{LEAF} {PURE_LOG} log.storage log.segment log.commit log.journal log.partition log.retention log.rewrite",
    ),
    # Two lenses, which never see each other; what decides is pure and sees the leaf only.
    Room("lenses.stream.membership lenses.stream.assignor lenses.queue.changes", LEAF),
    Room("lenses.queue.rows lenses.queue.wheel lenses.queue.order", LEAF),
    Room("lenses.queue.sizes", LEAF),
    Room("lenses.queue.admission", f"{LEAF} {LEDGER}"),
    Room("lenses.queue.ledger", f"{LEAF} {LEDGER} lenses.queue.admission"),
    Room("lenses.queue.translate", f"{LEAF} log.facts lenses.queue.changes"),
    Room("lenses.stream.group", f"{LEAF} lenses.stream.membership"),
    Room("lenses.stream.*", f"{LEAF} {BATCH} log.facts log.journal log.partition lenses.stream.*"),
    Room("lenses.queue.*", f"{LEAF} {BATCH} log.facts log.journal log.partition lenses.queue.*"),
    # One door.
    Room("broker.bindings", LEAF),
    Room("broker.routing", f"{LEAF} broker.bindings"),
    Room("broker.deaths", f"{LEAF} {BATCH}"),
    Room("broker.*", f"{LEAF} log.* lenses.* broker.*"),
    # Protocols: only handlers name the broker; none imports another, but all may use http, and two share aws.
    Room("protocols.door protocols.sniff", LEAF),
    Room("protocols.http.*", f"{LEAF} {DOOR} protocols.http.*"),
    Room("protocols.aws.sigv4", LEAF),
    Room("protocols.aws.handlers.*", f"{LEAF} {DOOR} broker.* protocols.http.* protocols.aws.*"),
    Room("protocols.aws.*", f"{LEAF} protocols.http.* protocols.aws.*"),
    # The native protocol mirrors the engine port: its messages are the port's nouns, and it is served on the port.
    Room("protocols.native.eager", ""),
    Room("protocols.native.errors", f"{LEAF} {{own}}.schema"),
    Room("protocols.native.codec", f"{LEAF} {BATCH} {{own}}.schema {{own}}.errors"),
    Room("protocols.native.connection", f"{LEAF} {{own}}.schema {{own}}.errors {{own}}.codec"),
    Room("protocols.native.serving", f"{LEAF} {BATCH} {ENGINE_PORT} broker.access {{own}}.*"),
    Room("protocols.native.handlers", f"{LEAF} {BATCH} {DOOR} {ENGINE_PORT} broker.* {{own}}.*"),
    Room("protocols.kafka.schema", f"{LEAF} {{own}}.layouts"),
    Room("protocols.kafka.handlers.topic_configs protocols.kafka.handlers.login", f"{LEAF} broker.* protocols.kafka.*"),
    Room("protocols.kafka.layouts protocols.kafka.messages", LEAF),
    Room("protocols.kafka.compiled", f"{LEAF} {{own}}.schema {{own}}.messages"),
    Room("protocols.kafka.codec", f"{LEAF} {{own}}.schema {{own}}.compiled"),
    Room("protocols.kafka.connection", f"{LEAF} {{own}}.schema {{own}}.compiled {{own}}.codec"),
    Room("protocols.amqp.table", LEAF),
    Room("protocols.amqp.methods protocols.amqp.properties", f"{LEAF} {{own}}.table"),
    Room("protocols.amqp.errors protocols.amqp.channel", LEAF),
    Room("protocols.amqp.codec", f"{LEAF} {{own}}.table {{own}}.methods"),
    Room("protocols.amqp.connection", f"{LEAF} {{own}}.table {{own}}.methods {{own}}.properties {{own}}.codec"),
    Room("protocols.*.codec", f"{LEAF} {BATCH} {{own}}.schema {{own}}.methods"),
    Room("protocols.*.connection", f"{LEAF} {BATCH} protocols.http.* {{own}}.codec {{own}}.schema {{own}}.methods"),
    Room("protocols.sqs.shapes", LEAF),
    Room("protocols.sqs.query", f"{LEAF} protocols.aws.errors protocols.http.messages"),
    Room(
        "protocols.sqs.handlers.*",
        f"{LEAF} {BATCH} {DOOR} broker.* lenses.* log.facts log.pending"
        " protocols.http.* protocols.aws.* protocols.sqs.*",
    ),
    Room(
        "protocols.sqs.errors protocols.sqs.receipt protocols.sqs.digests protocols.sqs.attributes"
        " protocols.sqs.messages",
        f"{LEAF} {BATCH} protocols.aws.errors {{own}}.*",
    ),
    Room("protocols.kinesis.shapes protocols.kinesis.event_stream", LEAF),
    Room(
        "protocols.kinesis.handlers.*",
        f"{LEAF} {BATCH} {DOOR} broker.* log.pending log.partition protocols.http.* protocols.aws.*"
        " protocols.kinesis.*",
    ),
    Room(
        "protocols.kinesis.errors protocols.kinesis.hashes protocols.kinesis.cursor protocols.kinesis.shards",
        f"{LEAF} protocols.aws.errors {{own}}.*",
    ),
    Room(
        "protocols.*.handlers protocols.*.handlers.*",
        f"{LEAF} {BATCH} {DOOR} broker.* lenses.* log.facts log.partition log.pending log.unit protocols.sniff"
        " protocols.http.* {own}.*",
    ),
    Room(
        "protocols.*.schema protocols.*.methods protocols.*.errors protocols.*.channel protocols.*.receipt"
        " protocols.*.cursor protocols.*.event_stream",
        LEAF,
    ),
    Room("web.exposition", LEAF),
    Room("web.management.patterns", LEAF),
    Room(
        "web.management.paging web.management.routes web.management.answers",
        f"{LEAF} protocols.http.messages web.management.answers",
    ),
    # RabbitMQ's management API makes and shows what AMQP's door does, by the door's own rules.
    Room(
        "web.management.*",
        f"{LEAF} {BATCH} {DOOR} broker.* lenses.* log.facts log.pending protocols.http.* protocols.amqp.*"
        " web.health web.management.*",
    ),
    Room("web.*", f"{LEAF} {DOOR} broker.* lenses.* protocols.http.* web.*"),
    Room("server.listener", f"{LEAF} {DOOR} log.storage server.*"),
    Room("server.server", f"{LEAF} broker.* log.journal log.storage protocols.* web.* server.*"),
    Room("server.services", f"{LEAF} {DOOR} isthmus engines.embedded broker.* protocols.* web.* server.*"),
    Room("server.*", f"{LEAF} broker.* protocols.* web.* server.*"),
    # One API on the port; the files that turn an address into an engine also see `connect`.
    Room("client.app client.bus client.sync client.testing", f"{LEAF} {BATCH} {ENGINE_PORT} engines.connect client.*"),
    Room("client.models", LEAF),
    Room("client.duration", f"{LEAF} {ENGINE_PORT}"),
    Room("client.retry", f"{LEAF} client.duration"),
    Room("client.event", f"{LEAF} {BATCH} client.codecs client.duration"),
    Room("client.*", f"{LEAF} {BATCH} {ENGINE_PORT} client.*"),
    # Several engines behind one port.
    Room("engines.base", f"{LEAF} {BATCH}"),
    Room("engines.connect", f"{LEAF} engines.*"),
    Room(
        "engines.embedded engines.embedded_admin",
        f"{LEAF} {ENGINE_PORT} engines.embedded_admin broker.* lenses.* log.*",
    ),
    # Who holds a directory answers other processes, and is found by them, on the socket of the native protocol.
    Room(
        "engines.local",
        f"{LEAF} {ENGINE_PORT} engines.embedded engines.hop engines.native engines.native_link broker.broker"
        " log.storage server.config server.server",
    ),
    Room(
        "engines.native engines.native_*",
        f"{LEAF} {BATCH} {ENGINE_PORT} engines.native_* protocols.native.codec protocols.native.connection"
        " protocols.native.schema protocols.native.errors",
    ),
    # On a foreign broker the engine does itself what one of ours does: positions, dead letters, marks on records.
    Room(
        "engines.shared.*",
        f"{LEAF} {BATCH} {ENGINE_PORT} engines.shared.* lenses.stream.position broker.redrive broker.publishing",
    ),
    Room(
        "engines.kafka.*",
        f"{LEAF} {BATCH} {ENGINE_PORT} engines.kafka.* engines.shared.* lenses.stream.position broker.redrive"
        " broker.publishing",
    ),
    Room(
        "engines.rabbitmq.*",
        f"{LEAF} {BATCH} {ENGINE_PORT} engines.rabbitmq.* engines.shared.* lenses.stream.position broker.redrive"
        " broker.publishing broker.routing",
    ),
    Room("engines.*", f"{LEAF} {BATCH} {ENGINE_PORT}"),
    # Commands.
    Room("cli.log cli.log_*", f"{LEAF} {PUBLIC} cli.* client.* engines.* broker.* log.*"),
    Room("cli.demo", f"{LEAF} {PUBLIC} cli.* demo.*"),
    Room("cli.serve", f"{LEAF} cli.* server.*"),
    Room("cli.*", f"{LEAF} {BATCH} {PUBLIC} cli.* client.* engines.* broker.*"),
    # The demo uses what users use; its reference computation must not share a line with what it checks.
    Room("demo.reference", ""),
    Room("demo.*", f"{LEAF} {PUBLIC} demo.*"),
)

PURE: Final = (
    f"{PURE_LOG} record errors limits definition views ranges scram broker.routing broker.bindings broker.deaths"
    " broker.sasl broker.attempts"
    f" {LEDGER} lenses.queue.sizes lenses.queue.admission lenses.queue.ledger lenses.queue.translate"
    " lenses.stream.group lenses.stream.membership lenses.stream.assignor lenses.stream.position"
    " lenses.stream.offsets client.retry client.duration client.lanes client.verdict client.window"
    " protocols.*.codec protocols.*.connection protocols.*.schema protocols.*.methods protocols.amqp.channel"
    " protocols.amqp.table protocols.amqp.properties"
    " protocols.kafka.layouts protocols.kafka.messages protocols.kafka.compiled"
    " protocols.native.errors"
    " protocols.http.head protocols.http.chunked protocols.http.messages web.exposition web.management.patterns"
    " web.management.paging web.management.routes web.management.answers"
    " protocols.sniff protocols.aws.sigv4 protocols.sqs.receipt protocols.kinesis.cursor protocols.kinesis.event_stream"
    " protocols.kinesis.hashes protocols.kinesis.shards"
)
"""Files that decide and do not act: time and chance are arguments."""

NOT_PURE: Final = frozenset(
    "asyncio concurrent multiprocessing os pathlib queue random secrets select selectors shutil signal socket"
    " subprocess tempfile threading time".split()
)
"""Modules of the standard library that act, wait, or answer differently each time."""

PACKAGES: Final = (
    ("msgspec", "*"),
    ("google_crc32c", "log.*"),
    ("click rich", "cli.* demo.*"),
    ("uvloop", "cli.* server.*"),
    ("httptools h2", "protocols.http.*"),
    ("google", "client.protobuf"),  # google.protobuf
    ("pydantic", "client.models"),
    ("fastavro", "client.avro"),
    ("confluent_kafka", "engines.kafka.*"),
    ("aio_pika aiormq pamqp", "engines.rabbitmq.*"),
    ("boto3 botocore", "engines.kinesis engines.sqs"),
    ("lz4 cramjam backports compression", "log.compression"),
)
"""Who may import what is not ours. `import isthmus` stays light because the rest of the tree cannot."""

EXTRAS: Final = {
    "uvloop": "uvloop",
    "aio-pika": "aio_pika",
    "confluent-kafka": "confluent_kafka",
    "protobuf": "google",
    "pydantic": "pydantic",
    "lz4": "lz4",
    "cramjam": "cramjam",
    "backports.zstd": "backports",
}
"""What the packages of our extras are imported as."""

NOT_OURS: Final = frozenset({"dev", "bench"})
"""Extras for whoever works on Isthmus: what tests it, and the peers that it is measured against."""

# ---- the rules as functions --------------------------------------------------------------------------------------

NAMES: Final = frozenset(
    {f"isthmus.{module.name}" for module in modules()}
    | {f"isthmus.{name}" for room in ROOMS for name in room.files.split() if "*" not in name}
)
"""Modules that exist, and those that the table expects."""


def matches(name: str, patterns: str) -> bool:
    """Whether a dotted name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def room_of(module: Module) -> Room | None:
    """The first row of the table that names the module; package files but the root import nothing."""
    if module.is_package and module.name:
        return Room(module.name, "")
    return next((room for room in ROOMS if matches(module.name or "isthmus", room.files)), None)


def own(module: Module) -> str:
    """The folder that `{own}` stands for: of a protocol, its name."""
    return ".".join(module.name.split(".")[:2])


def climbs(module: Module) -> Iterator[str]:
    """A sentence for each import of Isthmus that the table forbids, or that the module has no row."""
    room = room_of(module)
    if room is None:
        yield f"{module.path}: has no row in ROOMS; say there where it belongs and what it may import"
        return
    allowed = room.may_import.replace("{own}", own(module))
    for found in dict.fromkeys(imports(module, NAMES)):
        if _is_ours(found) and not matches(found.module.removeprefix("isthmus."), allowed):
            yield f"{module.path}:{found.line} imports {found.module}, but may import only: {allowed or 'nothing'}"


def impurities(module: Module) -> Iterator[str]:
    """A sentence for each import that makes a pure file impure."""
    if not matches(module.name, PURE):
        return
    for found in imports(module, NAMES):
        if found.module == "isthmus.clock" or found.module.split(".")[0] in NOT_PURE:
            yield f"{module.path}:{found.line} imports {found.module}, but the file is pure: it gets time as `now_ms`"


def strangers(module: Module) -> Iterator[str]:
    """A sentence for each package from outside that is imported where it does not belong."""
    for found in imports(module, NAMES):
        package = found.module.split(".")[0]
        if _is_ours(found) or package in sys.stdlib_module_names:
            continue
        allowed = next((files for packages, files in PACKAGES if package in packages.split()), None)
        if allowed is None:
            yield f"{module.path}:{found.line} imports {package}, which PACKAGES does not know"
        elif not matches(module.name, allowed):
            yield f"{module.path}:{found.line} imports {package}, which only these may: {allowed}"


def circle_in(tree: Iterable[Module]) -> list[str]:
    """The names of modules that import each other in a circle when they are imported; empty when none do."""
    graph = {
        f"isthmus.{module.name}": {found.module for found in imports_at_start(module, NAMES)} & NAMES
        for module in tree
        if module.name
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _is_ours(found: Import) -> bool:
    return found.module.split(".")[0] == "isthmus"


Rule = Callable[[Module], Iterator[str]]
RULES: Final[tuple[Rule, ...]] = (climbs, impurities, strangers)


# ---- the tree ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_to_the_table(rule: Rule) -> None:
    broken = [sentence for module in modules() for sentence in rule(module)]

    assert not broken, "\n" + "\n".join(broken)


def test_no_module_imports_itself_by_a_detour() -> None:
    circle = circle_in(modules())

    assert not circle, " imports ".join(reversed(circle))


def test_every_extra_brings_something_that_the_code_uses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name not in NOT_OURS}
    imported = {found.module.split(".")[0] for module in modules() for found in imports(module, NAMES)}

    packages = {name: [re.split(r"[^\w.-]", each)[0] for each in wanted] for name, wanted in extras.items()}
    idle = {name for name, wanted in packages.items() if not {EXTRAS[each] for each in wanted} & imported}

    assert not idle, f"extras that nothing uses: {idle}"


# ---- the rules themselves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source", "line"),
    [
        ("log/batch.py", "import isthmus.broker.broker", 1),
        ("log/journal.py", "import os\nfrom isthmus.lenses.queue import ledger", 2),
        ("lenses/stream/reader.py", "from isthmus.lenses.queue.ledger import Ledger", 1),
        ("lenses/queue/ledger.py", "from isthmus.log.batch import decode", 1),
        ("lenses/queue/queue.py", "from isthmus.log.storage import MemoryStorage", 1),
        ("broker/broker.py", "def late():\n    from isthmus.client.event import Event", 2),
        ("client/producer.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import isthmus.broker.x", 3),
        ("client/producer.py", "from isthmus.engines.embedded import Embedded", 1),
        ("engines/connect.py", "from importlib import import_module\nimport_module('isthmus.broker.broker')", 2),
        ("engines/kafka/engine.py", "from isthmus.engines.rabbitmq import Engine", 1),
        ("protocols/kafka/codec.py", "from isthmus.broker.broker import Broker", 1),
        ("protocols/kafka/handlers/fetch.py", "from isthmus.protocols.amqp.codec import Frame", 1),
        ("demo/reference.py", "from isthmus.demo.facts import read", 1),
        ("demo/app.py", "from isthmus.broker.broker import Broker", 1),
        ("log/batch.py", "from ..broker import broker", 1),
        ("log/batch.py", "import isthmus", 1),
        ("lenses/__init__.py", "from isthmus.lenses.stream import reader", 1),
    ],
)
def test_a_climbing_import_is_named_with_file_and_line(path: str, source: str, line: int) -> None:
    module = module_of(f"src/isthmus/{path}", source)

    sentences = list(climbs(module))

    assert [sentence.split(" imports ")[0] for sentence in sentences] == [f"src/isthmus/{path}:{line}"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("log/batch.py", "from isthmus.errors import InvalidBatch\nfrom isthmus import limits"),
        ("log/journal.py", "from isthmus.log.partition import Partition"),
        ("broker/broker.py", "from isthmus.lenses.queue.queue import Queue"),
        ("engines/embedded.py", "from isthmus.broker.broker import Broker"),
        ("client/app.py", "from isthmus.engines.connect import connect"),
        ("protocols/kafka/handlers/fetch.py", "from isthmus.protocols.kafka.codec import Fetch"),
        ("protocols/sqs/handlers/service.py", "from isthmus.protocols.aws.sigv4 import check"),
        ("cli/log.py", "from isthmus.log.journal import Journal"),
        ("demo/app.py", "from isthmus import App, Stream"),
    ],
)
def test_an_import_that_goes_down_is_let_be(path: str, source: str) -> None:
    assert not list(climbs(module_of(f"src/isthmus/{path}", source)))


def test_a_file_without_a_row_is_named() -> None:
    assert ["has no row" in sentence for sentence in climbs(module_of("src/isthmus/log/attic.py", ""))] == [True]


@pytest.mark.parametrize(
    "source", ["import asyncio", "from time import time", "import os.path", "import isthmus.clock"]
)
def test_a_pure_file_may_not_import_what_acts(source: str) -> None:
    assert len(list(impurities(module_of("src/isthmus/lenses/queue/ledger.py", source)))) == 1
    assert not list(impurities(module_of("src/isthmus/lenses/queue/queue.py", source)))


@pytest.mark.parametrize(
    ("path", "source", "count"),
    [("log/journal.py", "import rich", 1), ("cli/main.py", "import rich", 0), ("cli/main.py", "import numpy", 1)],
)
def test_a_package_from_outside_has_its_places(path: str, source: str, count: int) -> None:
    assert len(list(strangers(module_of(f"src/isthmus/{path}", source)))) == count


def test_a_circle_is_found_unless_it_closes_late_or_for_types_only() -> None:
    back = "from isthmus.log.journal import Journal"
    journal = module_of("src/isthmus/log/journal.py", "from isthmus.log.segment import Segment")
    late = module_of("src/isthmus/log/segment.py", f"def f():\n    {back}")
    typed = module_of("src/isthmus/log/segment.py", f"if TYPE_CHECKING:\n    {back}")
    early = module_of("src/isthmus/log/segment.py", back)

    assert [bool(circle_in([journal, segment])) for segment in (late, typed, early)] == [False, False, True]
