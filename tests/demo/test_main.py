"""The demo's beginning and end: what it refuses, where its data go, and that a wrong figure shows."""

import os
from pathlib import Path

import pytest

from isthmus.demo import main
from isthmus.demo.main import Options, directory, run
from isthmus.errors import InvalidArgument, InvariantError
from support.flights import first_rows
from support.source import TESTS


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    with pytest.raises(InvalidArgument, match="real time"):
        run(Options(speed=speed))


def test_a_file_that_holds_no_flights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")

    with pytest.raises(InvalidArgument, match="columns"):
        run(Options(flights=tmp_path / "none.csv"))


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")

    with pytest.raises(InvalidArgument, match="empty directory"):
        run(Options(dir=tmp_path))
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("keep", [False, True])
def test_a_temporary_directory_goes_unless_it_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keep: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with directory(Options(keep=keep)) as place:
        (place / "data").write_text("text")

    assert place.exists() is keep


def test_a_chosen_directory_stays(tmp_path: Path) -> None:
    with directory(Options(dir=tmp_path / "new")) as place:
        place.mkdir()

    assert place.exists()


@pytest.mark.process
def test_one_wrong_figure_ends_the_demo_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "REFERENCE", "support.lying_reference")
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    code = run(Options(flights=first_rows(tmp_path, 1_500), dir=tmp_path / "data"))

    said = capsys.readouterr().out
    assert code == 1
    assert "\n1 of " in said
    assert "figures are wrong" in said


@pytest.mark.process
def test_through_a_server_every_figure_is_right_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(Options(flights=first_rows(tmp_path, 1_500), dir=tmp_path / "data", server=True))

    said = capsys.readouterr().out
    assert code == 0, said
    assert "figures agree with the raw files" in said
    assert "A server held the data" in said


@pytest.mark.process
def test_a_computation_that_fails_ends_everything_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "REFERENCE", "json.tool")  # which does not know what it is asked

    with pytest.raises(InvariantError, match=r"json\.tool ended"):
        run(Options(dir=tmp_path / "data"))
