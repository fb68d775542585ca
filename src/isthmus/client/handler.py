"""A handler as it was declared: which events it takes, what else it asks for, what it gives. Checked at import.

`Call` is a handler in one run, with what it asks for filled in; it calls the function and looks at nothing else.
"""

import collections.abc
import inspect
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

from isthmus.client.bus import Bus
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination
from isthmus.client.enrich import Enricher, Question, Questions
from isthmus.client.event import AnyEvent, Event, is_event, is_model
from isthmus.client.provide import Provided, Providers
from isthmus.client.signature import MISSING, Parameter, Value, signature_of
from isthmus.errors import DeclarationError, InvalidArgument, WrongEventType
from isthmus.limits import LEASE_RECORDS_MAX

_LISTS: Final = (list, collections.abc.Sequence)
_OUTPUTS: Final = (*_LISTS, tuple, collections.abc.Iterable)

Carried = Sequence[type[AnyEvent]] | None
"""Classes among which a model counts as an event; None is any."""

Wants = Literal["event", "message", "answer", "provided"]


class Slot(NamedTuple):
    """One parameter and what it gets; `questions` are those that answer it, by event type."""

    wants: Wants
    parameter: Parameter
    questions: dict[type[AnyEvent], Question]


class Asked(NamedTuple):
    """What an annotation asks of the events: themselves or their messages, one or a list, of which classes.

    No classes is "whatever the destination carries".
    """

    wants: Literal["event", "message"]
    many: bool
    classes: tuple[type[AnyEvent], ...]


class Handler:
    """A function that takes events of a destination.

    `types` are the event classes that it gets. `takes_tombstones` says that it gets deletions too, as messages without
    an event, because it asks for messages only.

    Raises:
        DeclarationError: an annotation does not fit the destination, `to`, or what the app provides.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        destination: Destination[Any],
        *,
        to: Destination[Any] | None,
        batch: int | None,
        providers: Providers,
        questions: Questions,
    ) -> None:
        self.function = function
        self.destination = destination
        self.to = to
        self.batch = batch
        self.signature = signature_of(function, "handler")
        self.name = function.__qualname__
        self.whose = f"handler {self.signature.name} of {destination!r}"
        if self.signature.is_generator:
            raise DeclarationError(f"{self.whose} yields; return what is to be published, a list for several")
        if batch is not None and not 1 <= batch <= LEASE_RECORDS_MAX:
            raise InvalidArgument("batch", f"{batch} is outside 1 to {LEASE_RECORDS_MAX}")
        asked = {
            p.name: found
            for p in self.signature.parameters
            if (found := asked_of(p.annotation, destination.types)) is not None
        }
        self.types = self._types(list(asked.values()))
        self.takes_tombstones = all(each.wants == "message" for each in asked.values())
        self.slots = tuple(
            slot
            for p in self.signature.parameters
            if (slot := self._slot(p, asked.get(p.name), providers, questions)) is not None
        )
        self._check_outputs()

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop; a plain function runs in a thread."""
        return self.signature.is_async

    # ---- what it takes --------------------------------------------------------------------------------------------

    def _types(self, asked: Sequence[Asked]) -> tuple[type[AnyEvent], ...]:
        if not asked:
            raise DeclarationError(f"{self.whose} takes no event; annotate a parameter with {self._carried()}")
        for each in asked:
            if each.many and self.batch is None:
                raise DeclarationError(f"{self.whose} takes a list; say how long it may get with batch=")
            if not each.many and self.batch is not None:
                raise DeclarationError(f"{self.whose} has batch=, so it gets lists: annotate list[{self._carried()}]")
        wants = [each.wants for each in asked]
        if len(set(wants)) != len(wants):
            raise DeclarationError(f"{self.whose} asks twice for the {wants[0]}; one parameter is enough")
        fitting = [self._fitting(each.classes) for each in sorted(asked, key=lambda each: each.wants)]
        if set(fitting[0]) - set(fitting[-1]):
            raise DeclarationError(f"{self.whose}: its event and its Message name different types; name the same")
        return fitting[0]

    def _fitting(self, classes: tuple[type[AnyEvent], ...]) -> tuple[type[AnyEvent], ...]:
        carried = self.destination.types
        for each in classes:
            if not any(issubclass(one, each) for one in carried):
                raise DeclarationError(
                    f"{self.whose} takes {each.__name__}, but {self.destination!r} carries {self._carried()}"
                )
        return tuple(one for one in carried if not classes or issubclass(one, classes))

    def _carried(self) -> str:
        return " | ".join(each.__name__ for each in self.destination.types)

    def _slot(
        self, parameter: Parameter, asked: Asked | None, providers: Providers, questions: Questions
    ) -> Slot | None:
        if asked is not None:
            return Slot(asked.wants, parameter, {})
        wanted = parameter.annotation
        answer = get_args(wanted)[0] if self.batch is not None and get_origin(wanted) in _LISTS else wanted
        if answer in questions and (self.batch is None or answer is not wanted):
            return Slot("answer", parameter, questions.find(answer, self.types, self.whose))
        if parameter.optional and wanted not in providers:
            return None
        if self.batch is not None and wanted in questions:
            raise DeclarationError(f"{self.whose} takes lists, so it gets an answer for each: annotate list[...]")
        providers.check(wanted, f"{self.whose}, parameter {parameter.name!r}")
        if wanted is Bus and not self.is_async:
            raise DeclarationError(
                f"{self.whose} is a plain function, which cannot await a Bus; make it `async def`, or return the events"
                " and name their destination with to="
            )
        return Slot("provided", parameter, {})

    # ---- what it gives --------------------------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        returns = self.signature.returns
        given = output_classes(returns, () if self.to is None else None)
        if self.to is None:
            if given:
                raise DeclarationError(f"{self.whose} returns {given[0].__name__}; say where it goes with to=")
            return
        if returns is MISSING or (returns is not Any and not given):
            raise DeclarationError(
                f"{self.whose} has to={self.to!r}, so annotate what it returns:"
                f" {' | '.join(each.__name__ for each in self.to.types)}, or a list of it"
            )
        for each in given:
            if not any(issubclass(one, each) for one in self.to.types):
                raise DeclarationError(
                    f"{self.whose} returns {each.__name__}, but {self.to!r} carries"
                    f" {' | '.join(one.__name__ for one in self.to.types)}"
                )

    def outputs(self, result: object) -> list[AnyEvent]:
        """What it returned, as a list of events.

        Raises:
            WrongEventType: it returned an event and has no `to`.
            DeclarationError: it is a plain function, but returned something to be awaited.
        """
        if inspect.iscoroutine(result):
            result.close()
            raise DeclarationError(f"{self.whose} is a plain function, but returned a coroutine; make it `async def`")
        if self.to is None:
            if isinstance(result, Event):
                raise WrongEventType(f"{self.name} without to=", type(result).__name__, ["None"])
            return []
        if is_event(result) or not isinstance(result, Iterable):
            return [result]  # type: ignore[list-item]  # what is no event is refused by its destination's writer
        return list(result)


def asked_of(annotation: object, carried: Carried = ()) -> Asked | None:
    """What an annotation asks of the events; None when it is about something else, as models are that nobody carries.

    Args:
        annotation: of a parameter.
        carried: the classes of the destination.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in _LISTS and arguments:
        inner = asked_of(arguments[0], carried)
        return None if inner is None or inner.many else inner._replace(many=True)
    if annotation is Message:
        return Asked("message", False, ())
    if origin is Message:
        return Asked("message", False, () if arguments[0] is Any else event_classes(arguments[0], None))
    found = event_classes(annotation, carried)
    return Asked("event", False, found) if found else None


def members(annotation: object) -> list[object]:
    """The members of a union; of anything else just itself."""
    annotation = getattr(annotation, "__value__", annotation)  # `type X = A | B` of Python 3.12
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [annotation]


def event_classes(annotation: object, carried: Carried = ()) -> tuple[type[AnyEvent], ...]:
    """The event classes of an annotation; none when it is about something else, also in part."""
    parts = members(annotation)
    found = [part for part in parts if _is_class_of_events(part, carried)]
    return tuple(found) if len(found) == len(parts) else ()


def _is_class_of_events(found: object, carried: Carried) -> TypeGuard[type[AnyEvent]]:
    """A model may also be a setting or an answer: it is an event where it is carried."""
    if is_model(found):
        return carried is None or any(issubclass(each, found) for each in carried)
    return isinstance(found, type) and get_origin(found) is None and issubclass(found, Event)


def output_classes(returns: object, carried: Carried = ()) -> tuple[type[AnyEvent], ...]:
    """The event classes in a return annotation: E, E | None, list[E], tuple[E, ...], Iterable[E] and unions of them."""
    found: list[type[AnyEvent]] = []
    for each in members(returns):
        if _is_class_of_events(each, carried):
            found.append(each)
        elif get_origin(each) in _OUTPUTS:
            found += [one for inner in get_args(each) for one in output_classes(inner, carried)]
    return tuple(dict.fromkeys(found))


# ---- one run -----------------------------------------------------------------------------------------------------


class Call:
    """A handler with what it asks for filled in, but for the events. Belongs to one run."""

    def __init__(self, handler: Handler, provided: Provided, enrichers: dict[Question, Enricher]) -> None:
        self.handler = handler
        self.function = handler.function
        slots = handler.slots
        self._fixed = [provided[s.parameter.annotation] if s.wants == "provided" else None for s in slots]
        self._events = [at for at, slot in enumerate(slots) if slot.wants == "event"]
        self._messages = [at for at, slot in enumerate(slots) if slot.wants == "message"]
        self._answers = [at for at, slot in enumerate(slots) if slot.wants == "answer"]
        self._names = [slot.parameter.name for slot in slots]
        self.plain = len(slots) == 1 and bool(self._events) and not slots[0].parameter.keyword
        self.wants_message = bool(self._messages)
        self.asks = [
            {event: enrichers[question] for event, question in slots[at].questions.items()} for at in self._answers
        ]

    def run(self, event: Value, message: Value, answers: Sequence[Value]) -> Value:
        """Call the function; of an `async def` the result is to be awaited. With `batch` all three are lists."""
        if self.plain:
            return self.function(event)
        values = self._fixed.copy()
        for at in self._events:
            values[at] = event
        for at in self._messages:
            values[at] = message
        for at, answer in zip(self._answers, answers, strict=True):
            values[at] = answer
        return self.function(**dict(zip(self._names, values, strict=True)))
