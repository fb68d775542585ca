"""What the type checker makes of the API: the right is accepted, every wrong line is reported, and no other."""

import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api", reason="mypy is not installed")

HERE = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[int, str]]:
    """By file and line, the code of the error that mypy reports."""
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--no-incremental", "--hide-error-context"]
    text, problems, _ = api.run([*options, str(HERE / "right.py"), str(HERE / "wrong.py")])
    errors: dict[str, dict[int, str]] = {"right.py": {}, "wrong.py": {}}
    for line in text.splitlines():
        match = re.match(r"(?:.*[/\\])?(\w+\.py):(\d+)(?::\d+)?: error: .*\[([\w-]+)\]$", line)
        if match and match[1] in errors:
            errors[match[1]][int(match[2])] = match[3]
    assert not problems
    return errors


def test_right_code_is_accepted(found: dict[str, dict[int, str]]) -> None:
    assert found["right.py"] == {}


def test_wrong_code_is_reported_line_by_line(found: dict[str, dict[int, str]]) -> None:
    lines = (HERE / "wrong.py").read_text().splitlines()
    expected = {
        number: match[1] for number, line in enumerate(lines, 1) if (match := re.search(r"# error: ([\w-]+)$", line))
    }

    assert found["wrong.py"] == expected
