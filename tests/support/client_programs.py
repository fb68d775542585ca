"""Programs of real clients, as users write them: built where they have to be, run to their end, and what they said.

The programs stand in tests/clients; each prints what it found as one JSON object on its last line.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from support.source import ROOT

PROGRAMS: Final = ROOT / "tests/clients"
SECONDS: Final = 120
BUILD_SECONDS: Final = 600


def python_program(name: str, package: str) -> list[str]:
    """The command of a Python program; a skip where what it imports is not installed."""
    pytest.importorskip(package)
    return [sys.executable, str(PROGRAMS / "python" / f"{name}.py")]


def built(cache: Path, folder: str, command: Sequence[str], programs: Sequence[str]) -> Path:
    """A copy of a folder of programs in which a command was run; a skip where something for it is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no `{program}` here")
    target = cache / folder
    shutil.copytree(PROGRAMS / folder, target, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"`{' '.join(command)}` cannot fetch or build here: {(done.stdout + done.stderr).strip()[-300:]}")
    return target


@functools.cache
def node_modules(cache: Path) -> Path:
    """Node's AMQP programs with what they import, installed once a run."""
    return built(cache, "node_amqp", ["npm", "install", "--no-audit", "--no-fund", "--silent"], ("node", "npm"))


@functools.cache
def java_classpath(cache: Path) -> str:
    """The jars of RabbitMQ's Java client, fetched by Maven into its own repository when they are not there."""
    fetch = ["mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath"]
    return (built(cache, "java_amqp", fetch, ("java", "mvn")) / "classpath").read_text()


def tour(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Run a program to its end; the JSON object on the last line that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
