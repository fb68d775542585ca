"""Paths, and which handler each means."""

import pytest

from isthmus.web.management.answers import Failure
from isthmus.web.management.routes import Routes, query_of

ROUTES = Routes(
    {
        ("GET", "queues"): "all",
        ("GET", "queues/{vhost}"): "some",
        ("GET", "queues/{vhost}/{name}"): "one",
        ("PUT", "queues/{vhost}/{name}"): "make",
        ("GET", "queues/{vhost}/{name}/bindings"): "bindings",
        ("GET", "users/without-permissions"): "word",
        ("GET", "users/{name}"): "gap",
    }
)


@pytest.mark.parametrize(
    ("method", "path", "handler", "given"),
    [
        ("GET", "/api/queues", "all", {}),
        ("HEAD", "/api/queues", "all", {}),
        ("GET", "/api/queues//", "all", {}),
        ("GET", "/api/queues/%2F", "some", {"vhost": "/"}),
        ("PUT", "/api/queues/%2F/a%2Fb%20c", "make", {"vhost": "/", "name": "a/b c"}),
        ("GET", "/api/queues/v/bindings", "one", {"vhost": "v", "name": "bindings"}),
        ("GET", "/api/queues/v/q/bindings", "bindings", {"vhost": "v", "name": "q"}),
        ("GET", "/api/users/without-permissions", "word", {}),
        ("GET", "/api/users/%C3%A4", "gap", {"name": "ä"}),
    ],
)
def test_a_path_means_a_handler(method: str, path: str, handler: str, given: dict[str, str]) -> None:
    assert ROUTES.find(method, path) == (handler, given)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/nothing", 404, "Not Found"),
        ("GET", "/api", 404, "Not Found"),
        ("GET", "/api/queues/a/b/c", 404, "Not Found"),
        ("GET", "/api/users", 404, "Not Found"),
        ("GET", "/api" + "/a" * 100, 404, "Not Found"),
        ("DELETE", "/api/queues/a/b", 405, "only GET, HEAD, PUT here"),
        ("GET", "/api/users/%FF", 400, "no UTF-8"),
    ],
)
def test_what_means_none_is_refused(method: str, path: str, status: int, reason: str) -> None:
    with pytest.raises(Failure, match=reason) as caught:
        ROUTES.find(method, path)

    assert caught.value.status == status


def test_a_query_is_its_parameters() -> None:
    assert query_of("a=1&b=%2F+x&a=2&c=") == {"a": "2", "b": "/ x", "c": ""}


@pytest.mark.parametrize("text", ["a=%FF", "&".join(f"a{number}=1" for number in range(40))])
def test_a_query_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        query_of(text)
