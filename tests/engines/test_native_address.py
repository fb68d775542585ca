"""Addresses of servers."""

import ssl
from urllib.parse import urlsplit

import pytest

from isthmus.engines.native_address import read
from isthmus.engines.native_link import Login
from isthmus.errors import InvalidArgument


@pytest.mark.parametrize(
    ("url", "host", "port", "shown"),
    [
        ("isthmus://localhost", "localhost", 8320, "isthmus://localhost"),
        ("isthmus://10.0.0.1:99/", "10.0.0.1", 99, "isthmus://10.0.0.1:99/"),
        ("isthmus://[::1]:99", "::1", 99, "isthmus://[::1]:99"),
        ("isthmuss://a.example", "a.example", 8320, "isthmuss://a.example"),
        ("isthmus://ann:se%40cret@host:1", "host", 1, "isthmus://ann@host:1"),
    ],
)
def test_an_address_says_where(url: str, host: str, port: int, shown: str) -> None:
    address = read(urlsplit(url))

    assert (address.target.host, address.target.port, address.shown) == (host, port, shown)
    assert (address.target.tls is not None) == url.startswith("isthmuss")


def test_it_says_who() -> None:
    assert read(urlsplit("isthmus://ann:se%40cret@host")).login == Login(user="ann", password="se@cret")
    assert read(urlsplit("isthmus://host")).login is None


def test_tls_checks_names_and_takes_no_old_version() -> None:
    context = read(urlsplit("isthmuss://host")).target.tls

    assert context is not None
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "url",
    [
        "isthmus://host:port",
        "isthmus://host:70000",
        "isthmus://host/path",
        "isthmus://host#x",
        "isthmus://:80",
        "isthmus://host?ca=x",
        "isthmuss://host?nothing=x",
        "isthmuss://host?ca=/nowhere.pem",
        "isthmuss://host?cert=/nowhere.pem",
    ],
)
def test_what_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        read(urlsplit(url))


def test_a_refusal_does_not_show_the_password() -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(urlsplit("isthmus://ann:secret@host/path"))

    assert "secret" not in str(refused.value)
