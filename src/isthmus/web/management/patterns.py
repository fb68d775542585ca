"""Permissions of RabbitMQ and grants of Isthmus, each said in the words of the other where it has them.

A permission has three regular expressions, which may match anywhere in a name; a grant has patterns in which `*` stands
for any text. An expression without an equal is refused by name, never widened or narrowed. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, get_args

from isthmus.definition import DEFAULT_NAMESPACE, Grant, Operation
from isthmus.errors import InvalidArgument
from isthmus.limits import GRANTS_MAX, POLICY_PATTERN_MAX

EVERYTHING: Final = "*"
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

KINDS: Final[dict[str, tuple[Operation, ...]]] = {
    "configure": ("create", "alter", "remove"),
    "write": ("publish",),
    "read": ("consume", "read"),
}
"""What each of the three permissions allows."""

OURS: Final = frozenset(operation for operations in KINDS.values() for operation in operations)
"""All that permissions speak of."""

_SPECIAL: Final = frozenset(".^$*+?{}[]|()\\")
_ANCHORED: Final = re.compile(r"(?<!\\)(?:\\\\)*\$$")
_ESCAPED: Final = re.compile(r"\\([^A-Za-z0-9])")


class Permission(NamedTuple):
    """The three expressions of a user."""

    configure: str
    write: str
    read: str


# ---- from permissions to grants ------------------------------------------------------------------------------------


def grants_of(
    asked: Permission, kept: Sequence[Grant], namespace: str = DEFAULT_NAMESPACE, others: Iterable[str] = ()
) -> tuple[Grant, ...]:
    """The grants of a user that is to have that permission in a namespace.

    Args:
        asked: the permission.
        kept: the grants that the user has; what they allow beyond configuring, writing and reading stays.
        namespace: in which the permission holds.
        others: all other namespaces: what a grant allows everywhere holds in each of them by itself from then on.

    Raises:
        InvalidArgument: an expression that no patterns are equal to.
    """
    found: dict[tuple[str, str | None], set[Operation]] = {}
    for grant in kept:
        rest = [operation for operation in grant.operations if operation not in OURS]
        if rest:
            found.setdefault((grant.pattern, grant.namespace), set()).update(rest)
        told = [operation for operation in grant.operations if operation in OURS]
        for other in others if grant.namespace is None else {grant.namespace} - {namespace}:
            if told:
                found.setdefault((grant.pattern, other), set()).update(told)
    for kind, expression in zip(KINDS, asked, strict=True):
        for pattern in patterns_of(kind, expression):
            found.setdefault((pattern, namespace), set()).update(KINDS[kind])
    return tuple(
        Grant(operations=tuple(each for each in OPERATIONS if each in operations), pattern=pattern, namespace=place)
        for (pattern, place), operations in found.items()
    )


def patterns_of(kind: str, expression: str) -> list[str]:
    """The patterns that together fit the names that an expression matches; none when it matches no name.

    Raises:
        InvalidArgument: there are none that do.
    """
    if expression in ("", "^$"):
        return []
    if len(expression) > POLICY_PATTERN_MAX:
        raise InvalidArgument(kind, f"{len(expression)} characters are more than {POLICY_PATTERN_MAX}")
    found: dict[str, None] = {}
    for alternative in _alternatives(kind, expression):
        found[_pattern(kind, expression, alternative)] = None
    if len(found) > GRANTS_MAX:
        raise InvalidArgument(kind, f"{len(found)} alternatives are more than {GRANTS_MAX}")
    found.pop("", None)  # no name is empty
    return [EVERYTHING] if EVERYTHING in found else list(found)


def _alternatives(kind: str, expression: str) -> list[str]:
    """The expressions of which one has to match: of `a|b`, and of one group with nothing but anchors around it."""
    parts = _split(expression)
    if len(parts) > 1:
        return [each for part in parts for each in _alternatives(kind, part)]
    grouped = re.fullmatch(r"(\^?)\((?:\?:)?(.*)\)(\$?)", expression, re.DOTALL)
    if grouped is None or not _is_one_group(expression):
        return [expression]
    start, inside, end = grouped.groups()
    return [f"{start}{each}{end}" for part in _split(inside) for each in _alternatives(kind, part)]


def _is_one_group(expression: str) -> bool:
    """Whether the parenthesis that opens first closes last."""
    depth = 0
    body = expression.removeprefix("^").removesuffix("$")
    escaped = False
    for at, character in enumerate(body):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            depth += (character == "(") - (character == ")")
            if not depth:
                return at == len(body) - 1
    return False


def _split(expression: str) -> list[str]:
    """An expression at the bars that stand in no group."""
    parts, depth, start, escaped = [], 0, 0, False
    for at, character in enumerate(expression):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "|" and not depth:
            parts.append(expression[start:at])
            start = at + 1
        else:
            depth += (character == "(") - (character == ")")
    return [*parts, expression[start:]]


def _pattern(kind: str, expression: str, alternative: str) -> str:
    """One alternative as a pattern: literal text and `.*`, tied to the ends by anchors or else open there."""
    body, pattern = alternative, ""
    at_start = body.startswith("^")
    while body.startswith("^"):
        body = body[1:]
    at_end = _ANCHORED.search(body) is not None
    body = body.removesuffix("$") if at_end else body
    while body:
        escaped = _ESCAPED.match(body)
        if body.startswith(".*"):
            pattern, body = pattern + EVERYTHING, body[2:]
        elif escaped is not None and escaped[1] != EVERYTHING:
            pattern, body = pattern + escaped[1], body[2:]
        elif body[0] not in _SPECIAL:
            pattern, body = pattern + body[0], body[1:]
        else:
            raise InvalidArgument(
                kind,
                f"{expression!r} has no equal here, because of {body[:10]!r}: text, `.*`, `^`, `$` and `(a|b)` have;"
                r" a dot in a name is written as `\.`",
            )
    whole = ("" if at_start else EVERYTHING) + pattern + ("" if at_end else EVERYTHING)
    return re.sub(r"\*+", EVERYTHING, whole)


# ---- from grants to permissions ------------------------------------------------------------------------------------


def permission_of(grants: Sequence[Grant], namespace: str = DEFAULT_NAMESPACE) -> Permission:
    """The permission that says what grants allow of configuring, writing and reading in a namespace.

    A pattern counts for one of the three when its grants allow all that this one does.
    """
    allowed: dict[str, set[Operation]] = {}
    for grant in grants:
        if grant.namespace in (None, namespace):
            allowed.setdefault(grant.pattern, set()).update(grant.operations)
    return Permission(
        *[
            expression_of([pattern for pattern, found in allowed.items() if found.issuperset(operations)])
            for operations in KINDS.values()
        ]
    )


def expression_of(patterns: Sequence[str]) -> str:
    """The expression that matches the names that one of the patterns fits; one that matches none without patterns."""
    if EVERYTHING in patterns:
        return ".*"
    if not patterns:
        return ""
    written = [".*".join(map(_escaped, pattern.split(EVERYTHING))) for pattern in patterns]
    return f"^{written[0]}$" if len(written) == 1 else f"^({'|'.join(written)})$"


def _escaped(text: str) -> str:
    """Text of an expression that stands for itself."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
