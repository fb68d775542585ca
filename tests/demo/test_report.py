"""The report: what is a mismatch, what it exits with, and what readers and machines are shown."""

import io
import json

import pytest
from rich.console import Console

from isthmus.demo.report import Report


def shown(report: Report) -> str:
    text = io.StringIO()
    report.print(Console(file=text, width=140))
    return text.getvalue()


def test_a_report_of_equal_figures_exits_with_zero() -> None:
    report = Report("demo")

    report.section("flights").check_all({"flights": 3, "mean": 1.25}, {"flights": 3, "mean": 1.25})

    assert (report.ok, report.exit_code) == (True, 0)
    assert "all 2 figures agree with the raw files" in shown(report)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 0}),
        ({"a": 1, "b": 0}, {"a": 1}),
        ({"x": {"a": 1}}, {"x": {"a": 2}}),
        ({"x": {"a": 1}}, {"x": {"a": 1}, "y": {"a": 1}}),
        ({"x": {"a": 1}, "y": {"a": 1}}, {"x": {"a": 1}}),
        ({"x": 1}, {"x": {"a": 1}}),
        ({"x": {"a": 1}}, {"x": 1}),
    ],
)
def test_any_difference_exits_with_one(got: dict[str, object], expected: dict[str, object]) -> None:
    report = Report("demo")

    report.section("figures").check_all(got, expected)  # type: ignore[arg-type]  # mixed shapes are what is tested

    assert report.exit_code == 1
    assert "wrong" in shown(report)


def test_a_report_that_checked_nothing_proves_nothing() -> None:
    report = Report("demo")
    report.section("empty")
    report.time("published", 10, 1.0)

    assert report.exit_code == 1
    assert "nothing was checked" in shown(report)


def test_a_rule_is_shown_in_words() -> None:
    report = Report("demo")
    section = report.section("burst")

    section.check_rule("calls in the busiest second", 50, "at most 50", ok=True)

    assert report.ok
    assert "at most 50" in shown(report)
    section.check_rule("lost", 1, "none", ok=False)
    assert not report.ok


def test_many_figures_can_share_a_line_that_names_the_first_which_differs() -> None:
    report = Report("demo")

    report.section("keys").check_agreement("events per key", {"N1": 4, "N2": 5, "N4": 1}, {"N1": 4, "N2": 6, "N3": 1})

    assert [(line.name, line.got, line.expected) for line in report.lines] == [
        ("events per key", 1, 4),
        ("events per key: N2", 5, 6),
    ]


def test_a_missing_figure_does_not_agree_with_one_that_is_none() -> None:
    report = Report("demo")

    report.section("keys").check_agreement("means", {}, {"OO": None})

    assert not report.ok


def test_a_grid_shows_both_values_where_they_differ() -> None:
    report = Report("demo")
    got, expected = {"AA": {"flights": 2794}, "UA": {"flights": 1}}, {"AA": {"flights": 2794}, "UA": {"flights": 4637}}

    report.section("carriers").check_all(got, expected)

    text = shown(report)
    assert "2,794" in text
    assert "1 not 4,637" in text


def test_the_json_form_has_the_verdict_the_lines_the_rates_and_the_notes() -> None:
    report = Report("demo")
    report.section("flights").check("flights", 27_004, 27_004)
    report.section("audit").check("digest", "ab", "cd")
    report.time("published", 1000, 0.5, durability="fsync")
    report.time("nothing", 0, 0.0)
    report.note("burst shortened")

    parsed = json.loads(report.to_json())

    assert (parsed["ok"], parsed["checked"], parsed["mismatches"]) == (False, 2, 1)
    assert parsed["sections"][0]["lines"][0]["got"] == 27_004
    assert [timing["per_second"] for timing in parsed["timings"]] == [2000, None]
    assert parsed["notes"] == ["burst shortened"]


def test_text_from_the_data_is_not_taken_for_markup() -> None:
    report = Report("a [bold]title")
    report.section("[red]").check("name", "[green]x", "[green]x")
    report.note("shortened [to 1,000]")

    text = shown(report)

    assert all(part in text for part in ("a [bold]title", "[red]", "[green]x", "shortened [to 1,000]"))
