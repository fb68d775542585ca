"""`isthmus serve` as a process: it says where it is, serves, and ends when it is told to."""

import json
import signal
from pathlib import Path

import pytest

from support.cli import PATIENCE_S, PROGRAM, Cli, finished, started


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with started([*PROGRAM, "serve", str(tmp_path / "data"), "--kafka", "0", "--web", "0"]) as process:
        assert process.stderr is not None
        while "serving" not in process.stderr.readline():
            assert process.poll() is None

        process.send_signal(number)

        assert process.wait(PATIENCE_S) == 0
        assert f"{number.name}: stopping" in process.stderr.read()
    assert json.loads(Cli(tmp_path / "data")("log", "verify", "--json").stdout)["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--amqp", "5672"], "amqp: this protocol comes in a later version"),
        (["--kafka", "x"], "kafka: 'x' is no [HOST:]PORT"),
        (["--config", "none.toml"], "No such file"),
        (["--tls-key", "x.pem"], "tls_key: means nothing without tls_cert"),
        (["--advertise", "x"], "advertise"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = Cli(tmp_path)("serve", *arguments, code=3)

    assert said in result.stderr


def test_an_address_of_a_server_is_no_directory() -> None:
    done = finished([*PROGRAM, "--url", "memory://", "serve"])

    assert done.returncode == 2
    assert "looks at the files of a data directory; memory:// is none" in done.stderr
