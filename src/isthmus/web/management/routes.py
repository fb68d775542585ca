"""Which handler a path of the management API means: paths as templates, and what stands in their gaps. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

from isthmus.web.management.answers import Failure, bad_request, not_found

H = TypeVar("H")
ROOT: Final = "/api"
SEGMENTS_MAX: Final = 12
PARAMETERS_MAX: Final = 32


class Found(NamedTuple, Generic[H]):
    """What a path means: who handles it, and what stood in the gaps of the template."""

    handler: H
    given: Mapping[str, str]


class Routes(Generic[H]):
    """Handlers by method and template, such as `queues/{vhost}/{name}`. Words come before gaps."""

    def __init__(self, table: Mapping[tuple[str, str], H]) -> None:
        self._root: dict[str, Any] = {}
        for (method, template), handler in table.items():
            node = self._root
            gaps = []
            for part in template.split("/"):
                is_gap = part.startswith("{")
                if is_gap:
                    gaps.append(part.strip("{}"))
                node = node.setdefault("{}" if is_gap else f"/{part}", {})
            node.setdefault("methods", {})[method] = (handler, tuple(gaps))

    def find(self, method: str, path: str) -> Found[H]:
        """Who handles a request. HEAD is asked as GET.

        Raises:
            Failure: there is nothing, or not by that method.
        """
        segments = segments_of(path)
        node, values = _walk(self._root, segments, ())
        if node is None:
            raise not_found()
        methods = node["methods"]
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            raise Failure(405, "Method Not Allowed", f"there is only {', '.join(allowed(methods))} here")
        handler, gaps = found
        return Found(handler, dict(zip(gaps, values, strict=True)))


def _walk(node: Mapping[str, Any], segments: tuple[str, ...], values: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    if not segments:
        return (node, values) if "methods" in node else (None, ())
    first, rest = segments[0], segments[1:]
    word = node.get(f"/{first}")
    if word is not None:
        found = _walk(word, rest, values)
        if found[0] is not None:
            return found
    gap = node.get("{}")
    return (None, ()) if gap is None else _walk(gap, rest, (*values, first))


def allowed(methods: Mapping[str, Any]) -> list[str]:
    """The methods that a path can be asked by."""
    return sorted({*methods, *(("HEAD",) if "GET" in methods else ())})


def segments_of(path: str) -> tuple[str, ...]:
    """The parts of a path below the root, decoded; empty ones are left out, so that `queues//` is `queues`.

    Raises:
        Failure: it cannot be read.
    """
    parts = [part for part in path.removeprefix(ROOT).split("/") if part]
    if len(parts) > SEGMENTS_MAX:
        raise not_found()
    try:
        return tuple(unquote(part, errors="strict") for part in parts)
    except UnicodeDecodeError as error:
        raise bad_request("the path is no UTF-8") from error


def query_of(text: str) -> dict[str, str]:
    """The parameters of a query; of one that is there twice, the last.

    Raises:
        Failure: it cannot be read.
    """
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX, errors="strict"))
    except ValueError as error:
        raise bad_request("the query cannot be read") from error
