"""The source tree as data: modules, their syntax trees and what they import.

For the tests that hold the tree to its rules; it reads files and judges nothing.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
SRC: Final = ROOT / "src"
TESTS: Final = ROOT / "tests"


class Module(NamedTuple):
    """One file of the package. `name` is dotted and without `isthmus.`; the package's own file is ``."""

    name: str
    path: str
    is_package: bool
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return parsed(self.path, self.text)

    @property
    def folder(self) -> str:
        """The first part of the name: the room of the house that the file lives in."""
        return self.name.split(".")[0]


class Import(NamedTuple):
    """One imported module, by its full dotted name, and the line that imports it."""

    line: int
    module: str


@functools.cache
def parsed(path: str, text: str) -> ast.Module:
    """The syntax tree of a file, parsed once."""
    return ast.parse(text, path)


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every Python file under src/isthmus, sorted by path; what protoc wrote is left out."""
    paths = sorted(path for path in (SRC / "isthmus").rglob("*.py") if not path.name.endswith("_pb2.py"))
    return tuple(module_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def module_of(path: str, text: str) -> Module:
    """The module that a file is, by its path from the root of the tree."""
    parts = list(Path(path).with_suffix("").parts)[2:]
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path, is_package, text)


def imports(module: Module, known: frozenset[str]) -> Iterator[Import]:
    """All that a module imports: at the top, in functions, under TYPE_CHECKING and by `import_module("...")`.

    Args:
        module: the file.
        known: full names of modules, to tell `from package import module` from `from module import name`.
    """
    for node in ast.walk(module.tree):
        yield from _imports_of(module, node, known)


def imports_at_start(module: Module, known: frozenset[str]) -> Iterator[Import]:
    """What is imported when the module is, and so cannot go in a circle: nothing late, nothing for types only."""
    late = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    waiting: list[ast.AST] = [module.tree]
    while waiting:
        node = waiting.pop()
        yield from _imports_of(module, node, known)
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
        elif not isinstance(node, late):
            waiting.extend(ast.iter_child_nodes(node))


def _imports_of(module: Module, node: ast.AST, known: frozenset[str]) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _base(module, node)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield Import(node.lineno, inner if inner in known else base)
    elif isinstance(node, ast.Call) and called(node) in {"import_module", "importlib.import_module", "__import__"}:
        match node.args:
            case [ast.Constant(value=str(name)), *_]:
                yield Import(node.lineno, name)


def called(node: ast.Call) -> str:
    """What a call calls, dotted as written: `os.open`, `open`; empty when it is not a plain name."""
    return dotted(node.func)


def dotted(node: ast.expr) -> str:
    """A name or a chain of attributes as written; empty for anything else at its root."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        root = dotted(node.value)
        return f"{root}.{node.attr}" if root else ""
    return ""


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = ["isthmus", *module.name.split(".")] if module.name else ["isthmus"]
    parents = here[: len(here) - node.level + (1 if module.is_package else 0)]
    return ".".join([*parents, *(node.module or "").split(".")]).strip(".")
