"""Rules of the house that no linter knows: where files, time and text may be touched, and what every file must have.

Each rule is a function that gives a sentence for each breach; below, each is run over the tree and shown to catch a
planted breach. Exceptions stand in tables, with their reason.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from support.source import ROOT, SRC, TESTS, Module, called, dotted, module_of, modules

CORE: Final = frozenset({"log", "lenses", "broker", "client", "engines"})
"""Folders that run inside other people's programs: they touch no file and no clock but through the two seams."""

TALKS: Final = frozenset({"cli", "demo"})
"""Folders that talk to a person at a terminal."""

STORAGE: Final = "log.storage"

LINES_MAX: Final = 70
"""Longer functions are reported, not refused."""

# ---- exceptions, each with its reason ----------------------------------------------------------------------------

NO_TEST_FILE: Final = {
    "record": "data only; every test of the log and the lenses makes records",
    "limits": "numbers only; each is tested where it is enforced",
    "definition": "data only; the catalogue's and the facts' tests make definitions",
    "engines.kafka.admin": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.commits": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.catalog": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.engine": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.feed": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.group": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.kafka.link": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.shared.desk": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.shared.unit": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.shared.pieces": "the tests of lots use all of it, tests/engines/shared/test_lot.py",
    "engines.kafka.reader": "the suite of all engines runs it, tests/engines/test_suite.py",
    "engines.rabbitmq.admin": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.api": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.catalog": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.delays": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.feed": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.group": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.link": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.queue": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.reader": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.rabbitmq.streams": "tests/engines/rabbitmq/test_engine.py and the suite of all engines run it",
    "engines.base": "the port only; tests/engines/ holds every engine to it",
    "protocols.native.schema": "data only; the codec's tests hold it to the format text and send every message round",
    "protocols.kafka.layouts": "data only; the tests of the schema and the codec read all of it",
    "protocols.amqp.handlers.channel": "state only; the door's tests and those of the handlers act on it",
    "protocols.amqp.handlers.link": "state only; the door's tests and those of the handlers act on it",
    "protocols.amqp.handlers.service": "makes doors; every test of the door is made by it",
    "protocols.amqp.handlers.table": "a table; every handler in it has its tests",
    "protocols.amqp.methods": "data only; the codec's tests send every method round and compare all with another codec",
    "protocols.door": "types only; the driver's and every protocol's tests hold both sides to it",
    "views": "data only; what fills a view is tested",
    "sync": "hands on one name of client/sync.py, which has its test",
    "types": "hands on names of client/, which have their tests",
}
"""Modules that have no test file of their own."""

OWN_TIME: Final = {
    STORAGE: "asks again for the lock of a directory, before there is a broker and its clock",
}
"""Core modules that may wait without the Clock."""

OS_ALLOWED: Final = frozenset("PathLike cpu_count environ fspath getpid register_at_fork strerror urandom".split())
"""What the core may use of `os`: nothing that touches a file."""

STANDARD_NAMES: Final = {
    "INVALID_SESSION_TIMEOUT": "how Kafka calls an error",
    **dict.fromkeys(
        ("delay_seconds", "visibility_timeout", "wait_time_seconds"), "how SQS calls members of its inputs"
    ),
}
"""Names that are somebody else's."""

FILE_MODULES: Final = frozenset("fcntl fileinput glob io mmap shutil sqlite3 tempfile zipfile".split())
"""Modules whose purpose is files; `io` has buffers too, but bytes and memoryview do."""

FILE_METHODS: Final = frozenset("iterdir read_bytes read_text rglob write_bytes write_text".split())
"""Names that only pathlib has."""

TIMERS: Final = frozenset(
    "asyncio.sleep asyncio.timeout asyncio.timeout_at asyncio.wait_for threading.Timer time.sleep".split()
)
LOOP_TIMERS: Final = frozenset({"call_at", "call_later"})
TIME_READERS: Final = frozenset({"now", "today", "utcnow"})

# ---- the rules ---------------------------------------------------------------------------------------------------


def undocumented(module: Module) -> Iterator[str]:
    """Modules, public classes and public functions without a docstring; an empty file needs none."""
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.path}: no docstring; say in two sentences what the module is and what it must not do"
    yield from _undocumented(module, module.tree.body)


def _undocumented(module: Module, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node) and not _is_overload(node):
                yield f"{module.path}:{node.lineno} {node.name} has no docstring"
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(module, node.body)


def _is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(dotted(decorator).endswith("overload") for decorator in node.decorator_list)


def printing(module: Module) -> Iterator[str]:
    """Output from code that is not the one to talk: libraries log."""
    if module.folder in TALKS:
        return
    for node in _calls(module):
        if called(node) in {"print", "sys.stdout.write", "sys.stderr.write"}:
            yield f"{module.path}:{node.lineno} prints; only {', '.join(sorted(TALKS))} may"


def swallowing(module: Module) -> Iterator[str]:
    """Handlers that make an unexpected exception disappear."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{module.path}:{node.lineno} bare except; name what can happen"
        elif isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and all(map(_does_nothing, node.body)):
            yield f"{module.path}:{node.lineno} swallows every exception"
        elif isinstance(node, ast.Call) and called(node).endswith("suppress") and any(map(_is_broad, node.args)):
            yield f"{module.path}:{node.lineno} suppresses every exception"


def _is_broad(node: ast.expr | None) -> bool:
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(kind is not None and dotted(kind) in {"BaseException", "Exception"} for kind in kinds)


def _does_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass | ast.Continue) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def touching_files(module: Module) -> Iterator[str]:
    """File access in the core outside `log/storage.py`, where the tests can make it fail and crash."""
    if module.folder not in CORE or module.name == STORAGE:
        return
    for node in ast.walk(module.tree):
        if what := _file_access(node):
            yield f"{module.path}:{_line(node)} {what}; files are touched in log/storage.py only"


def _file_access(node: ast.AST) -> str:
    match node:
        case ast.Import(names=names):
            found = [alias.name for alias in names if alias.name.split(".")[0] in FILE_MODULES | {"pathlib"}]
            return f"imports {found[0]}" if found else ""
        case ast.ImportFrom(module=str(name), names=names, level=0):
            return _file_import(name, [alias.name for alias in names])
        case ast.Call(func=ast.Name(id="open")):
            return "calls open()"
        case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr not in OS_ALLOWED | {"path"}:
            return f"uses os.{attr}"
        case ast.Attribute(attr=attr) if attr in FILE_METHODS:
            return f"uses .{attr}"
        case _:
            return ""


def _file_import(name: str, names: list[str]) -> str:
    """PurePath is text and welcome; Path can open. What is not listed of `os` acts on files or processes."""
    allowed = {"pathlib": {"PurePath", "PurePosixPath"}, "os": OS_ALLOWED | {"path"}}
    if name.split(".", 1)[0] in FILE_MODULES:
        return f"imports from {name}"
    found = [each for each in names if each not in allowed.get(name, names)]
    return f"imports {found[0]} from {name}" if found else ""


def waiting(module: Module) -> Iterator[str]:
    """Timers and clocks in the core outside `clock.py`: a test that owns the clock must own every wait."""
    if module.folder not in CORE or module.name in OWN_TIME:
        return
    for node in ast.walk(module.tree):
        if what := _timer(node):
            yield f"{module.path}:{_line(node)} {what}; time is read and waited for through the Clock"


def _timer(node: ast.AST) -> str:
    match node:
        case ast.Import(names=names) if any(alias.name == "time" for alias in names):
            return "imports time"
        case ast.ImportFrom(module="time"):
            return "imports from time"
        case ast.ImportFrom(module=str(name), names=names):
            found = [alias.name for alias in names if f"{name}.{alias.name}" in TIMERS]
            return f"imports {name}.{found[0]}" if found else ""
        case ast.Call(func=ast.Attribute(attr=attr)) if attr in LOOP_TIMERS:
            return f"calls .{attr}()"
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)) if attr in TIME_READERS:
            return f"calls {dotted(owner)}.{attr}()" if dotted(owner).split(".")[-1] in {"date", "datetime"} else ""
        case ast.Call() if called(node) == "asyncio.wait" and any(
            keyword.arg == "timeout" for keyword in node.keywords
        ):
            return "calls asyncio.wait(timeout=)"
        case ast.Call() if called(node) in TIMERS and not _is_turn(node):
            return f"calls {called(node)}()"
        case _:
            return ""


def _is_turn(node: ast.Call) -> bool:
    """`asyncio.sleep(0)` waits for no time: it lets the others run once."""
    match node.args:
        case [ast.Constant(value=0)]:
            return called(node) == "asyncio.sleep"
        case _:
            return False


def unitless(module: Module) -> Iterator[str]:
    """Names of durations and sizes that hide or misname their unit: it comes last, as `_ms` or `_bytes`."""
    bad = re.compile(r"^timeout$|_(timeout|seconds|secs|millis|msecs?|kilobytes|megabytes)$")
    for node in ast.walk(module.tree):
        name = _defined(node)
        if name and bad.search(name.lower()) and name not in STANDARD_NAMES:
            yield f"{module.path}:{_line(node)} {name}: units last and as in the rest: _ms, _bytes"


def _defined(node: ast.AST) -> str:
    match node:
        case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return name
        case _:
            return ""


def untested(module: Module) -> Iterator[str]:
    """Modules without a test file at the mirrored path."""
    if module.is_package or module.name in NO_TEST_FILE:
        return
    wanted = mirror(module.name)
    if not wanted.exists():
        yield f"{module.path}: no {wanted.relative_to(ROOT)}; write it, or say in NO_TEST_FILE why there is none"


def mirror(name: str) -> Path:
    """Where the tests of a module live."""
    *folders, last = name.split(".")
    return TESTS.joinpath(*folders, f"test_{last}.py")


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


Rule = Callable[[Module], Iterator[str]]
RULES: Final[tuple[Rule, ...]] = (
    undocumented,
    printing,
    swallowing,
    touching_files,
    waiting,
    unitless,
    untested,
)

# ---- texts -------------------------------------------------------------------------------------------------------

TEXT: Final = frozenset({"", ".cfg", ".css", ".html", ".js", ".json", ".md", ".proto", ".py", ".sh", ".toml", ".txt"})
FOLDERS: Final = ("src", "tests", "docs", "bench", "tools", "examples", ".ci")

UNFINISHED: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
ELSEWHERE: Final = re.compile(r"\.\./shared|(?<![\w.~-])/(?:home|Users)/\w+/|(?<![\w.~-])/root/")

HERE: Final = tuple(f"{path}/" for path in (ROOT, Path.home()) if len(path.parts) > 2)
"""Where this checkout and its owner live; a place as short as /src would be found in any text."""


def texts() -> Iterator[Path]:
    """The text files of the tree, without what tools made and without this one, which plants what it looks for."""
    found = [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    for path in sorted(found):
        if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts and path != Path(__file__):
            yield path


def blots(name: str, text: str, here: tuple[str, ...] = HERE) -> Iterator[str]:
    """Marks of unfinished work, and paths that only exist on somebody's machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{name}:{number} is marked unfinished: finish it, or open an issue and say what holds today"
        if ELSEWHERE.search(line) or any(path in line for path in here):
            yield f"{name}:{number} names a path outside of this tree"


# ---- the tree ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_to_the_rule(rule: Rule) -> None:
    broken = [sentence for module in modules() for sentence in rule(module)]

    assert not broken, "\n" + "\n".join(broken)


def test_texts_are_finished_and_speak_of_this_tree_only() -> None:
    broken = [
        sentence
        for path in texts()
        for sentence in blots(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]

    assert not broken, "\n" + "\n".join(broken)


def test_package_files_are_empty_so_that_a_part_imports_alone() -> None:
    assert [module.path for module in modules() if module.is_package and module.name and module.text.strip()] == []


def test_every_folder_of_the_package_has_a_package_file() -> None:
    folders = {path.parent for path in (SRC / "isthmus").rglob("*.py")}

    assert [folder.relative_to(ROOT).as_posix() for folder in folders if not (folder / "__init__.py").exists()] == []


def test_exceptions_are_still_needed() -> None:
    names = {module.name for module in modules()}
    with_test = [name for name in NO_TEST_FILE if mirror(name).exists()]

    assert with_test == []
    assert NO_TEST_FILE.keys() - names <= {"types"}  # comes with the modules that it hands on


def test_long_functions_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    long = sorted(
        ((node.end_lineno or 0) - node.lineno + 1, f"{module.path}:{node.lineno} {node.name}")
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    with capsys.disabled():
        for lines, where in reversed(long):
            if lines > LINES_MAX:
                print(f"\nlong: {where} has {lines} lines; split it, or say there why not")  # noqa: T201 - for people


# ---- the rules themselves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (undocumented, "log/x.py", "import os"),
        (undocumented, "log/x.py", '"""Text."""\nclass A:\n    "Text."\n    def b(self): return 1'),
        (printing, "log/x.py", "print(1)"),
        (swallowing, "log/x.py", "try:\n    f()\nexcept:\n    g()"),
        (swallowing, "log/x.py", "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
        (swallowing, "log/x.py", "for a in b:\n  try:\n    f()\n  except Exception:\n    continue"),
        (swallowing, "log/x.py", "with contextlib.suppress(Exception):\n    f()"),
        (touching_files, "log/x.py", "f = open('a')"),
        (touching_files, "log/x.py", "os.unlink('a')"),
        (touching_files, "log/x.py", "from os import fsync"),
        (touching_files, "broker/x.py", "from pathlib import Path"),
        (touching_files, "client/x.py", "import tempfile"),
        (touching_files, "engines/x.py", "place.write_text('a')"),
        (waiting, "client/x.py", "await asyncio.sleep(1)"),
        (waiting, "client/x.py", "from asyncio import wait_for"),
        (waiting, "client/x.py", "async with asyncio.timeout(3): pass"),
        (waiting, "log/x.py", "loop.call_later(1, f)"),
        (waiting, "log/x.py", "await asyncio.wait(tasks, timeout=3)"),
        (waiting, "lenses/x.py", "import time"),
        (waiting, "broker/x.py", "datetime.datetime.now(UTC)"),
        (unitless, "log/x.py", "def f(lease_timeout): return lease_timeout"),
        (unitless, "log/x.py", "wait_seconds = 3"),
        (untested, "log/x.py", ""),
    ],
)
def test_a_planted_breach_is_named_with_file(rule: Rule, path: str, source: str) -> None:
    (sentence,) = rule(module_of(f"src/isthmus/{path}", source))

    assert sentence.startswith(f"src/isthmus/{path}:")


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (undocumented, "log/__init__.py", ""),
        (undocumented, "log/x.py", '"""Text."""\ndef _private(): return 1'),
        (printing, "cli/x.py", "print(1)"),
        (swallowing, "log/x.py", "try:\n    f()\nexcept OSError:\n    pass"),
        (swallowing, "log/x.py", "try:\n    f()\nexcept Exception as error:\n    report(error)"),
        (touching_files, "log/storage.py", "import os\nos.fsync(1)"),
        (touching_files, "log/x.py", "import os\nos.getpid()\nfrom pathlib import PurePath"),
        (touching_files, "broker/x.py", "self.storage.open('a')\nbroker.unlink()"),
        (touching_files, "cli/x.py", "open('a')"),
        (waiting, "client/x.py", "await asyncio.sleep(0)\nawait clock.sleep_until(3)"),
        (waiting, "client/x.py", "self.clock.now()"),
        (waiting, "cli/x.py", "time.sleep(1)"),
        (unitless, "log/x.py", "lease_ms = f(timeout=3)\nsize_bytes = 1"),
    ],
)
def test_what_is_allowed_is_let_be(rule: Rule, path: str, source: str) -> None:
    assert list(rule(module_of(f"src/isthmus/{path}", source))) == []


@pytest.mark.parametrize(
    "line",
    [
        "# TODO: later",
        f"see {'..'}/shared/notes.md",
        "cd /home/ada/isthmus",
        "cat /root/.profile",
        "in /srv/checkout/src",
    ],
)
def test_a_blot_is_named_with_its_line(line: str) -> None:
    assert [blot.split()[0] for blot in blots("README.md", f"fine\n{line}\n", ("/srv/checkout/",))] == ["README.md:2"]
