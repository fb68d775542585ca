"""The places in the log's source that change something on the disk, read from its syntax trees.

A suite that claims to crash at every one of them holds this list against where it has been.
"""

import ast
from collections.abc import Iterator
from typing import Final

from support.source import Module, called, modules

CHANGING: Final = frozenset(
    "pwrite sync truncate allocate rename unlink sync_folder make_folder write_all replace".split()
)
"""Methods of files and storages, and what is built on them, whose call is a storage call of the caller."""

OWN_METHODS: Final = frozenset({"segment.unlink", "commit.allocate", "allocate"})
"""Functions of the log that bear such a name; the call inside of them is the one that counts."""

ELSEWHERE: Final = frozenset(
    {
        "log/recovery.py:Recovery._quarantine",
        "log/recovery.py:Recovery._leave_damage_behind",
    }
)
"""What only damage brings about: tests/crash/test_repair.py and test_bit_rot.py."""


def storage_calls() -> frozenset[str]:
    """`log/file.py:function` of each, as `call_site` names it."""
    found = {site for module in modules() if module.folder == "log" for site in _sites(module)}
    return frozenset(found) - ELSEWHERE


def _sites(module: Module) -> Iterator[str]:
    if "isthmus.log.storage" not in module.text:
        return
    file = module.path.removeprefix("src/isthmus/")
    for owner, function in _functions(module.tree, ""):
        if any(_changes(node) for node in ast.walk(function) if isinstance(node, ast.Call)):
            yield f"{file}:{owner}{function.name}"


def _functions(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{owner}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield owner, child


def _changes(node: ast.Call) -> bool:
    name = called(node)
    if name in OWN_METHODS or name.startswith("dataclasses."):
        return False
    if name.rpartition(".")[2] in CHANGING:
        return True
    return name.endswith(".open") and any(word.arg == "create" for word in node.keywords)
