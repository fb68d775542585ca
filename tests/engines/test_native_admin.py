"""Administration over the wire: the suite asks every method; here, that none is missing."""

import inspect

from isthmus.engines.base import Admin
from isthmus.engines.native_admin import NativeAdmin, define
from support.engines import QUEUE, STREAM


def test_every_method_of_the_port_is_there_with_the_same_arguments() -> None:
    methods = [name for name, _ in inspect.getmembers(Admin, inspect.isfunction) if not name.startswith("_")]

    for name in methods:
        assert inspect.signature(getattr(NativeAdmin, name)) == inspect.signature(getattr(Admin, name)), name


def test_a_definition_says_what_it_is_of() -> None:
    assert (define("create", STREAM).topic, define("create", STREAM).queue) == (STREAM, None)
    assert (define("alter", QUEUE).topic, define("alter", QUEUE).queue) == (None, QUEUE)
