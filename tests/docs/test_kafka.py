"""The page about Kafka's protocol says of APIs and of topics' settings what the code says."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.protocols.kafka.handlers import login, versions
from isthmus.protocols.kafka.handlers.service import KEYS
from isthmus.protocols.kafka.handlers.table import HANDLERS
from isthmus.protocols.kafka.handlers.topic_configs import SETTINGS, Setting
from isthmus.protocols.kafka.handlers.versions import served
from isthmus.protocols.kafka.schema import api_name
from support.serve_process import serve_process
from support.source import ROOT

PAGE = ROOT / "docs/protocols/kafka.md"
DEVIATION = re.compile(r"Deviations?: (?P<text>.*?)(?:\n\n|\Z)", re.DOTALL)

CONNECTION: dict[int, object] = {
    17: login.Login.handshake,
    18: versions.api_versions,
    36: login.Login.authenticate,
}
"""What the connection answers itself."""


def table(mark: str) -> list[tuple[str, ...]]:
    """The rows of a table of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in text.splitlines()[2:]]


def deviation(handler: object) -> str:
    """What a handler says of itself that Kafka does otherwise."""
    found = DEVIATION.search(inspect.getdoc(handler) or "")
    return "" if found is None else " ".join(found["text"].split()).rstrip(".")


def meaning(setting: Setting) -> str:
    """Whether a setting does anything."""
    if setting.get is not None:
        return "acts"
    return f"only `{setting.default}`" if setting.words == (setting.default,) else "kept"


def test_the_table_of_apis_is_what_is_served() -> None:
    handlers = {**HANDLERS, **CONNECTION}
    wanted = [
        (str(key), api_name(key), "{} to {}".format(*served(key)), deviation(handlers[key])) for key in sorted(KEYS)
    ]

    assert table("apis") == wanted


def test_the_table_of_settings_is_that_of_the_handlers() -> None:
    wanted = [
        (f"`{setting.name}`", meaning(setting), f"`{setting.default}`" if setting.default else "", setting.why)
        for setting in SETTINGS
    ]

    assert table("settings") == wanted


def programs(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.process
def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    with serve_process(tmp_path / "data", kafka=0) as addresses:
        program = "\n".join(programs("py")).replace("127.0.0.1:9092", addresses["kafka"])
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

        assert ran.returncode == 0, ran.stderr
        if shutil.which("kcat") is None:
            pytest.skip("there is no `kcat` here (Debian: apt-get install kcat)")
        lines = programs("sh")[0].replace("127.0.0.1:9092", addresses["kafka"])
        shell = subprocess.run(["sh", "-e"], input=lines, capture_output=True, text=True, timeout=60, check=False)  # noqa: S607 - any shell

    assert shell.returncode == 0, shell.stderr
    assert shell.stdout.endswith('{"order_id": "o-1"}\n')
