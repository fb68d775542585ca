"""Lists as a client of the management API wants them: searched by name, sorted, in pages, and some columns only.

It takes what a handler has found and the query of the request, and asks nobody for anything.

Spec: RabbitMQ 4.3 HTTP API reference, "Pagination", "Sorting and columns".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from isthmus.limits import MANAGEMENT_PAGE_MAX, POLICY_PATTERN_MAX
from isthmus.web.management.answers import Failure, bad_request

Row = Mapping[str, Any]

PAGE_SIZE: Final = 100
TRUE: Final = "true"


def listed(rows: Sequence[Row], query: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    """A list as it is answered: the rows, or a page of them with what is said about it when one is asked for.

    Raises:
        Failure: the query cannot be followed.
    """
    found = _sorted(rows, query)
    if "page" not in query:
        return [chosen(row, query) for row in found]
    page, size = _number(query, "page", 1), _number(query, "page_size", PAGE_SIZE)
    if size > MANAGEMENT_PAGE_MAX:
        raise bad_request(f"page_size of {size} is more than {MANAGEMENT_PAGE_MAX}")
    kept = _named(found, query)
    pages = max(1, -(-len(kept) // size))
    if page > pages:
        raise Failure(400, "page_out_of_range", f"Page out of range, page: {page} page size: {size}, len: {len(kept)}")
    items = [chosen(row, query) for row in kept[(page - 1) * size : page * size]]
    return {
        "total_count": len(rows),
        "filtered_count": len(kept),
        "item_count": len(items),
        "page": page,
        "page_count": pages,
        "page_size": size,
        "items": items,
    }


def chosen(row: Row, query: Mapping[str, str]) -> Row:
    """A row with the columns that are asked for; a dot goes into an object, as in `queue_totals.messages`."""
    wanted = query.get("columns")
    if not wanted:
        return row
    found: dict[str, Any] = {}
    for column in wanted.split(","):
        _copy(row, column.split("."), found)
    return found


def _copy(row: Any, path: Sequence[str], into: dict[str, Any]) -> None:  # noqa: ANN401 - JSON
    name, *rest = path
    if not isinstance(row, Mapping) or name not in row:
        return
    if not rest:
        into[name] = row[name]
    elif isinstance(row[name], Mapping):
        _copy(row[name], rest, into.setdefault(name, {}))


def _sorted(rows: Sequence[Row], query: Mapping[str, str]) -> Sequence[Row]:
    by = query.get("sort")
    if not by:
        return rows
    path = by.split(".")
    return sorted(rows, key=lambda row: _rank(row, path), reverse=query.get("sort_reverse") == TRUE)


def _rank(row: Any, path: Sequence[str]) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    """Where a row stands: numbers before texts, and what has no such column before both."""
    for name in path:
        row = row.get(name) if isinstance(row, Mapping) else None
    if isinstance(row, int | float):
        return 1, row
    return (2, row) if isinstance(row, str) else (0, 0)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise bad_request("Pagination parameters are invalid")
    return int(text)


def _named(rows: Sequence[Row], query: Mapping[str, str]) -> Sequence[Row]:
    """The rows whose name holds what is searched for, or fits it as a regular expression."""
    wanted = query.get("name")
    if not wanted:
        return rows
    if query.get("use_regex") != TRUE:
        return [row for row in rows if wanted.lower() in str(row.get("name", "")).lower()]
    if len(wanted) > POLICY_PATTERN_MAX:
        raise bad_request(f"a regular expression of {len(wanted)} characters is more than {POLICY_PATTERN_MAX}")
    try:
        search = re.compile(wanted, re.IGNORECASE).search
    except (re.error, OverflowError, RecursionError) as error:
        raise bad_request(f"name is no regular expression: {error}") from error
    return [row for row in rows if search(str(row.get("name", "")))]
