"""One subject in a process of its own, its rows as lines of JSON: `python -m bench.one SUBJECT SETTINGS`."""

import importlib
import sys

import msgspec

from bench.harness import Outcome, Settings


def encode(outcome: Outcome) -> str:
    return f"{type(outcome).__name__} {msgspec.json.encode(outcome).decode()}"


def main() -> None:
    settings = msgspec.json.decode(sys.argv[2], type=Settings)
    for outcome in importlib.import_module(f"bench.{sys.argv[1]}").rows(settings):
        print(encode(outcome), flush=True)


if __name__ == "__main__":
    main()
