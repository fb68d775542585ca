"""kcat, which has an old librdkafka in it, against the broker."""

import shutil
import subprocess

import pytest


@pytest.fixture(autouse=True)
def _needs_kcat() -> None:
    if shutil.which("kcat") is None:
        pytest.skip("there is no `kcat` here (Debian: apt-get install kcat)")


def kcat(*arguments: str, stdin: str = "") -> str:
    command = [shutil.which("kcat") or "kcat", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_goes_in_comes_out_with_key_and_headers(bootstrap: str, codec: str) -> None:
    topic = f"kcat-{codec}"
    lines = "".join(f"k{at}:{'value' * 20}{at}\n" for at in range(50))

    kcat("-b", bootstrap, "-t", topic, "-P", "-K:", "-z", codec, "-H", "from=kcat", "-X", "acks=all", stdin=lines)
    found = kcat("-b", bootstrap, "-t", topic, "-C", "-e", "-q", "-o", "beginning", "-f", "%k:%s %h\n")

    assert sorted(found.splitlines()) == sorted(f"{line} from=kcat" for line in lines.splitlines())


@pytest.mark.process
def test_a_balanced_consumer_commits_and_goes_on_from_there(bootstrap: str) -> None:
    topic = "kcat-group"
    kcat("-b", bootstrap, "-t", topic, "-P", stdin="a\nb\n")
    group = ("-b", bootstrap, "-G", "kcats", "-q", "-X", "auto.offset.reset=earliest")

    first = kcat(*group, "-c", "2", topic)
    kcat("-b", bootstrap, "-t", topic, "-P", stdin="c\n")
    second = kcat(*group, "-c", "1", topic)

    assert first.split() == ["a", "b"]
    assert second.split() == ["c"]


@pytest.mark.process
def test_metadata_names_the_broker_as_it_was_reached(bootstrap: str) -> None:
    assert bootstrap in kcat("-b", bootstrap, "-L")
