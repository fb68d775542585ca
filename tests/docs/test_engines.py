"""The pages of engines say of promises what the engines say."""

import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from isthmus.engines.base import Capability
from isthmus.engines.kafka import engine as kafka
from isthmus.engines.rabbitmq import engine as rabbitmq
from support.rabbitmq import RabbitMQ
from support.source import ROOT

PAGES = ROOT / "docs/engines"


@pytest.mark.parametrize(
    ("page", "mark", "promises"),
    [
        ("kafka.md", "capabilities", kafka.CAPABILITIES),
        ("kafka.md", "shared", kafka.SHARED),
        ("rabbitmq.md", "capabilities", rabbitmq.CAPABILITIES),
        ("rabbitmq.md", "api", rabbitmq.WITH_API),
    ],
)
def test_the_table_is_that_of_the_engine(page: str, mark: str, promises: Mapping[str, Capability]) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    text = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]

    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()[2:]]

    assert rows == [(f"`{name}`", each.support, each.how) for name, each in promises.items()]


@pytest.mark.process
def test_the_example_runs_on_a_real_rabbitmq(rabbit: RabbitMQ) -> None:
    (program,) = re.findall(r"^```py\n(.*?)^```$", (PAGES / "rabbitmq.md").read_text(), re.MULTILINE | re.DOTALL)
    with rabbit.vhost("docs") as url:
        program = program.replace("amqp://guest:guest@localhost:5672/", url)
        program = program.replace("http://localhost:15672", rabbit.api_url)
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "['o-0', 'o-1', 'o-2', 'o-3', 'o-4']\n"
