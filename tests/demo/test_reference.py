"""The independent computation: its own figures, and that it is independent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.demo import reference


def run(*arguments: str | Path, cwd: Path) -> str:
    """Run the file by itself, where neither isthmus nor any other package can be imported."""
    command = [sys.executable, "-I", "-S", reference.__file__, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.process
def test_it_runs_with_nothing_but_python_and_has_the_known_figures(tmp_path: Path) -> None:
    figures = json.loads(run("--json", cwd=tmp_path))

    assert figures["flights"] == {
        "flights": 27_004,
        "departures": 26_483,
        "cancellations": 521,
        "arrivals": 26_468,
        "diverted": 70,
        "departures_without_arrival": 15,
        "without_tailnum": 155,
        "without_plane_row": 4_479,
        "without_airport_row": 680,
        "events": 53_472,
    }
    assert figures["rebooking"] == {"jobs": 1114, "cancelled": 521, "late": 593, "poison": 11, "failed_once": 78}
    assert figures["weather"] == {"observations": 2226, "changes": 196}
    assert figures["states"] == {"planes": 3322, "airports": 1458}
    assert sum(figures["events_by_key"].values()) == figures["audit"]["events"]


@pytest.mark.process
def test_a_file_takes_the_place_of_the_shipped_one_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("tailnum,seats\nN14228,100\nN24211,200\n")

    lines = run(path, cwd=tmp_path).splitlines()

    assert "states\tplanes\t2" in lines
    assert "flights\tflights\t27004" in lines


def test_a_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("a,b\n1,2\n")

    with pytest.raises(ValueError, match="must have one of the columns"):
        reference.compute([path])


@pytest.mark.parametrize(
    ("miles", "rain", "expected"),
    [
        ("0.99", "0", "LIFR dry"),
        ("1", "0.01", "IFR wet"),
        ("3", "0", "MVFR dry"),
        ("5", "0", "MVFR dry"),
        ("6", "0", "VFR dry"),
    ],
)
def test_conditions_have_the_bounds_that_pilots_use(miles: str, rain: str, expected: str) -> None:
    assert reference.conditions({"visib": miles, "precip": rain}) == expected
