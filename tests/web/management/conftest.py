"""What the tests of the management API share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.management import Desk, desk


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Desk]:
    """A broker without users, with the API."""
    async with desk(tmp_path) as made:
        yield made
