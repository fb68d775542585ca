"""Lists in pages, sorted, searched, and with some columns only."""

from typing import Any

import pytest

from isthmus.web.management.answers import Failure
from isthmus.web.management.paging import listed

ROWS = [
    {"name": "b", "messages": 3, "totals": {"ready": 1, "all": 9}},
    {"name": "Ab", "messages": 10},
    {"name": "c", "messages": 5},
]


def names(found: Any) -> list[str]:  # noqa: ANN401 - JSON
    return [row["name"] for row in (found["items"] if isinstance(found, dict) else found)]


def test_without_a_query_all_rows_are_a_plain_list() -> None:
    assert listed(ROWS, {}) == ROWS


def test_columns_are_all_that_is_answered() -> None:
    found = listed(ROWS, {"columns": "name,totals.ready,nothing"})

    assert found == [{"name": "b", "totals": {"ready": 1}}, {"name": "Ab"}, {"name": "c"}]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"sort": "messages"}, ["b", "c", "Ab"]),
        ({"sort": "messages", "sort_reverse": "true"}, ["Ab", "c", "b"]),
        ({"sort": "name"}, ["Ab", "b", "c"]),
        ({"sort": "totals.ready"}, ["Ab", "c", "b"]),
        ({"sort": "nothing"}, ["b", "Ab", "c"]),
    ],
)
def test_rows_are_sorted_by_a_column(query: dict[str, str], found: list[str]) -> None:
    assert names(listed(ROWS, query)) == found


def test_a_page_says_where_it_stands() -> None:
    found = listed(ROWS, {"page": "2", "page_size": "2"})

    assert names(found) == ["c"]
    told = {key: value for key, value in found.items() if key != "items"}
    assert told == {
        "total_count": 3,
        "filtered_count": 3,
        "item_count": 1,
        "page": 2,
        "page_count": 2,
        "page_size": 2,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"name": "B"}, ["b", "Ab"]),
        ({"name": "^b", "use_regex": "true"}, ["b"]),
        ({"name": "^b"}, []),
        ({"name": ""}, ["b", "Ab", "c"]),
    ],
)
def test_pages_are_of_the_rows_that_fit(query: dict[str, str], found: list[str]) -> None:
    page = listed(ROWS, {"page": "1", **query})

    assert (names(page), page["total_count"], page["filtered_count"]) == (found, 3, len(found))


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ({"page": "9", "page_size": "2"}, "page_out_of_range", "page: 9 page size: 2, len: 3"),
        ({"page": "x"}, "bad_request", "Pagination parameters"),
        ({"page": "0"}, "bad_request", "Pagination parameters"),
        ({"page": "9" * 10}, "bad_request", "Pagination parameters"),
        ({"page": "1", "page_size": "501"}, "bad_request", "more than 500"),
        ({"page": "1", "use_regex": "true", "name": "("}, "bad_request", "no regular expression"),
        ({"page": "1", "use_regex": "true", "name": "x" * 256}, "bad_request", "more than 255"),
    ],
)
def test_what_cannot_be_followed_is_refused(query: dict[str, str], error: str, message: str) -> None:
    with pytest.raises(Failure, match=message) as caught:
        listed(ROWS, query)

    assert (caught.value.status, caught.value.error) == (400, error)
