"""Settings: where they come from, which wins, and what is refused."""

from pathlib import Path

import pytest

from isthmus.errors import InvalidArgument
from isthmus.server.config import LOOPBACK, Address, Settings, load, parse_address


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('kafka = "1001"\nnative = "1002"\nweb = "1003"\nidle_ms = 5000\ninsecure = true\n')

    found = load(
        file,
        {"ISTHMUS_NATIVE": "2002", "ISTHMUS_WEB": "2003", "ISTHMUS_DRAIN_MS": "70", "ISTHMUS_URL": "./x"},
        {"web": "3003", "advertise": None},
    )

    assert (found.kafka, found.native, found.web) == ("1001", "2002", "3003")
    assert (found.idle_ms, found.drain_ms, found.insecure) == (5_000, 70, True)


def test_without_a_listener_all_are_opened_on_loopback() -> None:
    ports = {each.port for each in Settings().listeners().values()}

    assert ports == {8320, 9092, 5672, 9324, 4567, 8321}


def test_with_a_listener_only_that_is_opened() -> None:
    assert Settings(kafka="0").listeners() == {"kafka": Address(LOOPBACK, 0)}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9092", Address(LOOPBACK, 9092)),
        ("0.0.0.0:9092", Address("0.0.0.0", 9092)),  # noqa: S104 - as somebody may write it
        ("shop.example:1", Address("shop.example", 1)),
        ("[::1]:9092", Address("::1", 9092)),
    ],
)
def test_an_address_is_a_port_with_or_without_a_host(text: str, address: Address) -> None:
    assert parse_address(text, "kafka") == address


@pytest.mark.parametrize("text", ["", "x", "9092x", "65536", "-1", "::1:9092", ":9092", "host:", "٣"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(InvalidArgument, match="kafka"):
        parse_address(text, "kafka")


def test_an_address_shows_as_it_is_written() -> None:
    assert [str(Address("::1", 1)), str(Address("h", 2))] == ["[::1]:1", "h:2"]


def test_what_clients_are_told_is_a_host_and_a_port() -> None:
    assert Settings().advertised() is None
    assert Settings(advertise="shop:9").advertised() == Address("shop", 9)
    for wrong in ("9092", "shop:0"):
        with pytest.raises(InvalidArgument, match="advertise"):
            Settings(advertise=wrong).advertised()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('kafak = "9092"', "kafak: .*no such setting to make; the nearest is 'kafka'"),
        ("kafka = 9092", "Expected `str.*`.*kafka"),
        ('idle_ms = "5"', "Expected `int`"),
        ('tls_client = "maybe"', "tls_client"),
        ("kafka = ", "is no TOML"),
        ("\xff", "no TOML"),
    ],
)
def test_what_a_file_may_not_say_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "server.toml"
    file.write_bytes(content.encode("latin-1"))

    with pytest.raises(InvalidArgument, match=said):
        load(file, {})


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        load(tmp_path / "none.toml", {})
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(InvalidArgument, match="is it a configuration file"):
        load(big, {})
