"""Requests that a page in a browser may have caused, and those that it cannot have."""

import pytest

from isthmus.protocols.http.guard import stray
from isthmus.protocols.http.head import parse
from isthmus.protocols.http.messages import Request


def request(host: str, *lines: str) -> Request:
    head = "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", f"Host: {host}", *lines, ""))
    return parse(head.encode(), 0).request


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8321", "localhost.", "a.localhost", "127.0.0.1:8321", "[::1]:8321", "192.0.2.7"]
)
def test_names_that_mean_this_machine_whoever_is_asked(host: str) -> None:
    assert stray(request(host), near=True) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "localhost.evil.example", "127.0.0.1.evil.io", ""]
)
def test_a_name_that_somebody_else_gives_away_is_refused_on_this_machine(host: str) -> None:
    refusal = stray(request(host), near=True)

    assert refusal is not None
    assert refusal.status == 421
    assert stray(request(host), near=False) is None


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8321", None),
        ("http://LOCALHOST:8321", None),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_servers_may_not_ask(origin: str, status: int | None) -> None:
    refusal = stray(request("localhost:8321", f"Origin: {origin}"), near=True)

    assert (None if refusal is None else refusal.status) == status


@pytest.mark.parametrize(
    ("site", "well"), [("cross-site", False), ("same-site", False), ("same-origin", True), ("none", True)]
)
def test_what_a_browser_says_of_where_it_comes_from(site: str, well: bool) -> None:
    assert (stray(request("localhost", f"Sec-Fetch-Site: {site}"), near=True) is None) is well
