"""The package's own file: ten names and a few modules, none of which `import isthmus` loads."""

import subprocess
import sys

import pytest

import isthmus

TEN = {"App", "Backoff", "Event", "Message", "Notification", "Queue", "Reject", "Retry", "State", "Stream"}


def test_the_public_names_are_ten_and_the_ways_in() -> None:
    assert set(isthmus.__all__) == TEN | {"connect", "errors", "sync", "types"}


@pytest.mark.parametrize("name", isthmus.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(isthmus, name) is not None
    assert name in dir(isthmus)


def test_an_unknown_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="'isthmus' has no attribute 'Topic'"):
        getattr(isthmus, "Topic")  # noqa: B009 - a type checker would refuse the attribute


def test_importing_the_package_loads_nothing_else() -> None:
    script = "import sys; before = set(sys.modules); import isthmus; print(*sorted(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "isthmus" in loaded
    assert [name for name in loaded if name.startswith("isthmus.")] == []
    assert {"asyncio", "click", "google_crc32c", "msgspec", "rich"}.isdisjoint(loaded)
