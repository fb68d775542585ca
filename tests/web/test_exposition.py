"""The text of metrics, and its escapes."""

import pytest

from isthmus.web.exposition import Family, Page
from support.openmetrics import families

DEPTH = Family("depth_records", "gauge", 'How "deep".\nReally.', ("queue", "state"), "records")
DONE = Family("done", "counter", "What is done.")
TOOK = Family("took_seconds", "histogram", "Time.", unit="seconds")
LATE = Family("late_seconds", "summary", "Lateness.", ("quantile",), "seconds")
BUILD = Family("build", "info", "Version.", ("version",))
SILENT = Family("silent", "gauge", "Never there.")


def test_each_kind_is_written_as_the_format_has_it() -> None:
    page = Page([DEPTH, DONE, TOOK, LATE, BUILD, SILENT])

    page.add(DONE, 7)
    page.add(DEPTH, 3, 'a"b\\c\nd', "ready")
    page.add(BUILD, 1, "1.2")
    page.add_histogram(TOOK, [0.001, 0.5], [1, 0, 2], 1.25)
    page.add_summary(LATE, {0.5: 0.1, 1.0: 0.2}, 9)

    assert page.text().decode() == (
        "# TYPE depth_records gauge\n# UNIT depth_records records\n"
        '# HELP depth_records How \\"deep\\".\\nReally.\n'
        'depth_records{queue="a\\"b\\\\c\\nd",state="ready"} 3\n'
        "# TYPE done counter\n# HELP done What is done.\ndone_total 7\n"
        "# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n# HELP took_seconds Time.\n"
        'took_seconds_bucket{le="0.001"} 1\ntook_seconds_bucket{le="0.5"} 1\ntook_seconds_bucket{le="+Inf"} 3\n'
        "took_seconds_count 3\ntook_seconds_sum 1.25\n"
        "# TYPE late_seconds summary\n# UNIT late_seconds seconds\n# HELP late_seconds Lateness.\n"
        'late_seconds{quantile="0.5"} 0.1\nlate_seconds{quantile="1.0"} 0.2\nlate_seconds_count 9\n'
        '# TYPE build info\n# HELP build Version.\nbuild_info{version="1.2"} 1\n'
        "# EOF\n"
    )


@pytest.mark.parametrize("name", ["plain", 'quo"te', "back\\slash", "new\nline", "größe", "{},=", ""])
def test_another_reader_of_the_format_gives_labels_back(name: str) -> None:
    page = Page([DEPTH])

    page.add(DEPTH, 1, name, "ready")
    (family,) = families(page.text())

    assert family.samples[0].labels == {"queue": name, "state": "ready"}


def test_as_many_labels_as_the_family_has() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Page([DEPTH]).add(DEPTH, 1, "a")
