"""The structs are those of the layouts."""

import subprocess
import sys

from support.source import ROOT


def test_the_file_is_what_the_tool_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/kafka_messages.py")], capture_output=True, text=True, check=True
    )

    assert (ROOT / "src/isthmus/protocols/kafka/messages.py").read_text() == done.stdout
