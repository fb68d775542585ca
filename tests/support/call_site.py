"""Where in the program under test a storage call comes from, so that a suite can prove that it hit every such place.

It looks at the stack only; it must not be called on a path that is timed.
"""

import contextlib
import sys
from pathlib import Path
from types import CodeType
from typing import Final

from isthmus.log import storage

_PASSED_OVER: Final = frozenset(
    {
        __file__,
        contextlib.__file__,
        storage.__file__,
        *(str(Path(__file__).with_name(name)) for name in ("sim_storage.py", "faulty_storage.py")),
    }
)
"""Files that only hand a call on; who called them is the site."""

_known: dict[CodeType, str] = {}


def call_site() -> str:
    """The nearest caller that is not storage itself, as `log/segment.py:Segment.seal`."""
    frame = sys._getframe(1)
    while not (site := _site_of(frame.f_code)):
        above = frame.f_back
        if above is None:
            return "?"
        frame = above
    return site


def _site_of(code: CodeType) -> str:
    """The name of the place; empty for a file that is passed over."""
    site = _known.get(code)
    if site is None:
        path = Path(code.co_filename)
        # A comprehension is a function of its own until Python 3.12: its name is that of who holds it.
        function = code.co_qualname.partition(".<locals>.<")[0]
        site = "" if code.co_filename in _PASSED_OVER else f"{path.parent.name}/{path.name}:{function}"
        _known[code] = site
    return site
