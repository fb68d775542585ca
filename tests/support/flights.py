"""Small files of flights for tests of the demo, cut from the shipped month."""

import gzip
from pathlib import Path

from isthmus.demo import sources
from isthmus.demo.facts import Fact, FlightFile


def first_rows(folder: Path, rows: int) -> Path:
    """A file of the first rows of the month."""
    with gzip.open(sources.FLIGHTS, "rt") as month:
        lines = [next(month) for _ in range(rows + 1)]
    path = folder / f"first-{rows}.csv"
    path.write_text("".join(lines))
    return path


def file_of(path: Path) -> FlightFile:
    """That file, ready to be read."""
    return FlightFile(path, zones=sources.destination_zones(sources.airports()))


def facts_of(path: Path) -> list[Fact]:
    """What that file says."""
    return list(file_of(path).facts())
