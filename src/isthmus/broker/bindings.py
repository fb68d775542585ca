"""The bindings of one exchange, in the shape in which its kind finds them. Pure.

It says which bindings match and in which order they were made; where they lead and who may go there is decided above.

Theory: every kind keeps its own index, so that finding costs by what matches and not by how many bindings there are.

    direct    key -> bindings
    fanout    all of them
    topic     a tree of words, walked with the set of all places that the words so far lead to: no pattern, however many
              `#` it has, makes that set larger than the tree, so there is nothing that takes exponential time
    headers   one (name, value) pair of each binding -> bindings, so that a record asks only for those that share a pair

I1  A binding is in its table once, whatever was asked how often: its identity is all that was said of it.
I2  Binding again moves it to the end, so that a replay over a later state ends in the same order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from isthmus.definition import ExchangeKind, HeaderMatch

Identity = tuple[int, int, str, bytes, bytes]
"""What makes two bindings of an exchange the same: topic, exchange, key, encoded match, kept."""

Headers = Mapping[str, object]
"""The headers of a record by name; of values only numbers, truth values, text and bytes can equal anything."""

Pair = tuple[str, object]
K = TypeVar("K")

NOTHING: Final[Headers] = {}
_ANY_VALUE: Final = object()
_INCOMPARABLE: Final = object()
_encoder = msgspec.msgpack.Encoder()


class Bound(Struct, frozen=True, eq=False):
    """A binding of one exchange: to a topic, or with `topic` 0 to another exchange, both by id.

    `order` rises with each binding of the exchange that is made or made again.
    """

    topic: int
    to_exchange: int
    key: str
    match: HeaderMatch | None
    kept: bytes
    order: int


def identity(topic: int, to_exchange: int, key: str, match: HeaderMatch | None, kept: bytes) -> Identity:
    """See `Identity`. The match is encoded because a truth value and a number are two things, which Python equates."""
    return topic, to_exchange, key, b"" if match is None else _encoder.encode(match), kept


class Table(Protocol):
    """The bindings of an exchange, found by what its kind looks at."""

    reads_headers: bool

    def add(self, row: Bound) -> None:
        """Take one in that is not in it."""

    def remove(self, row: Bound) -> None:
        """Take out one that is in it."""

    def find(self, keys: Sequence[str], headers: Headers) -> Iterable[Bound]:
        """Those that match, each once, in the order of binding."""


def table_of(kind: ExchangeKind) -> Table:
    """An empty table for an exchange of that kind."""
    return _TABLES[kind]()


class DirectTable:
    """Bindings by key."""

    reads_headers = False

    def __init__(self) -> None:
        self._by_key: dict[str, dict[Bound, None]] = {}

    def add(self, row: Bound) -> None:
        """See `Table`."""
        self._by_key.setdefault(row.key, {})[row] = None

    def remove(self, row: Bound) -> None:
        """See `Table`."""
        _discard(self._by_key, row.key, row)

    def find(self, keys: Sequence[str], headers: Headers) -> Iterable[Bound]:  # noqa: ARG002 - one form for all kinds
        """See `Table`."""
        if len(keys) == 1:
            return self._by_key.get(keys[0], ())
        return in_order({row: None for key in keys for row in self._by_key.get(key, ())})


class FanoutTable:
    """All bindings."""

    reads_headers = False

    def __init__(self) -> None:
        self._rows: dict[Bound, None] = {}

    def add(self, row: Bound) -> None:
        """See `Table`."""
        self._rows[row] = None

    def remove(self, row: Bound) -> None:
        """See `Table`."""
        del self._rows[row]

    def find(self, keys: Sequence[str], headers: Headers) -> Iterable[Bound]:  # noqa: ARG002 - one form for all kinds
        """See `Table`."""
        return self._rows


class _Word:
    """A place in the tree: what follows by word, by `*` (any one word) and by `#` (any words, also none)."""

    __slots__ = ("many", "one", "rows", "takes_more", "words")

    def __init__(self, *, takes_more: bool = False) -> None:
        self.words: dict[str, _Word] = {}
        self.one: _Word | None = None
        self.many: _Word | None = None
        self.takes_more = takes_more
        self.rows: dict[Bound, None] = {}

    def empty(self) -> bool:
        return not (self.words or self.rows or self.one or self.many)

    def next(self, word: str) -> "_Word | None":
        if word == "*":
            return self.one
        return self.many if word == "#" else self.words.get(word)

    def grown(self, word: str) -> "_Word":
        found = self.next(word)
        if found is None:
            found = _Word(takes_more=word == "#")
            self._put(word, found)
        return found

    def cut(self, word: str) -> None:
        if word in {"*", "#"}:
            self._put(word, None)
        else:
            del self.words[word]

    def _put(self, word: str, place: "_Word | None") -> None:
        if word == "*":
            self.one = place
        elif word == "#":
            self.many = place
        elif place is not None:
            self.words[word] = place


class TopicTable:
    """Bindings by pattern: words parted by dots, `*` stands for one word, `#` for any number of them."""

    reads_headers = False

    def __init__(self) -> None:
        self._root = _Word()

    def add(self, row: Bound) -> None:
        """See `Table`."""
        place = self._root
        for word in words_of(row.key):
            place = place.grown(word)
        place.rows[row] = None

    def remove(self, row: Bound) -> None:
        """See `Table`."""
        way = [self._root]
        words = words_of(row.key)
        for word in words:
            place = way[-1].next(word)
            if place is None:
                return
            way.append(place)
        way[-1].rows.pop(row, None)
        for above, word, place in zip(reversed(way[:-1]), reversed(words), reversed(way), strict=False):
            if not place.empty():
                break
            above.cut(word)

    def find(self, keys: Sequence[str], headers: Headers) -> Iterable[Bound]:  # noqa: ARG002 - one form for all kinds
        """See `Table`."""
        found: dict[Bound, None] = {}
        for key in keys:
            for place in self._places(words_of(key)):
                found.update(place.rows)
        return in_order(found)

    def _places(self, words: list[str]) -> dict[_Word, None]:
        """Where the words end when every way through the tree is taken that they fit."""
        at: dict[_Word, None] = {}
        _reach(self._root, at)
        for word in words:
            after: dict[_Word, None] = {}
            for place in at:
                if place.takes_more:
                    _reach(place, after)
                if place.one is not None:
                    _reach(place.one, after)
                found = place.words.get(word)
                if found is not None:
                    _reach(found, after)
            at = after
            if not at:
                break
        return at


def _reach(place: _Word, places: dict[_Word, None]) -> None:
    """Come to a place, and to those behind it that need no further word."""
    reached: _Word | None = place
    while reached is not None and reached not in places:
        places[reached] = None
        reached = reached.many


def words_of(key: str) -> list[str]:
    """The words of a key or pattern; an empty one has none, and dots beside each other have an empty one between."""
    return key.split(".") if key else []


class HeadersTable:
    """Bindings by what the headers hold.

    A binding that wants all of its pairs is filed under the one that fewest others are filed under, one that wants any
    under each of them. So a record is compared only with bindings of which it has at least one pair.
    """

    reads_headers = True

    def __init__(self) -> None:
        self._by_pair: dict[Pair, dict[Bound, None]] = {}
        self._always: dict[Bound, None] = {}
        self._wanted: dict[Bound, tuple[Pair, ...]] = {}
        self._filed: dict[Bound, tuple[Pair, ...]] = {}

    def add(self, row: Bound) -> None:
        """See `Table`."""
        match = row.match if row.match is not None else HeaderMatch()
        wanted = tuple(dict.fromkeys(_pairs(match)))
        if not wanted:
            if match.mode == "all":
                self._always[row] = None
            return
        filed = wanted if match.mode == "any" else (min(wanted, key=self._crowd),)
        self._wanted[row] = wanted if match.mode == "all" else ()
        self._filed[row] = filed
        for pair in filed:
            self._by_pair.setdefault(pair, {})[row] = None

    def _crowd(self, pair: Pair) -> int:
        # A name alone is filed last: records bring the same names with many values.
        return len(self._by_pair.get(pair, ())) + (pair[1] is _ANY_VALUE)

    def remove(self, row: Bound) -> None:
        """See `Table`."""
        self._always.pop(row, None)
        self._wanted.pop(row, None)
        for pair in self._filed.pop(row, ()):
            _discard(self._by_pair, pair, row)

    def find(self, keys: Sequence[str], headers: Headers) -> Iterable[Bound]:  # noqa: ARG002 - one form for all kinds
        """See `Table`."""
        found = dict(self._always)
        given = {pair for name, value in headers.items() for pair in ((name, comparable(value)), (name, _ANY_VALUE))}
        for pair in given:
            for row in self._by_pair.get(pair, ()):
                if given.issuperset(self._wanted[row]):
                    found[row] = None
        return in_order(found)


def _pairs(match: HeaderMatch) -> Iterable[Pair]:
    """What a match looks at, as pairs that can be looked up."""
    for name, value in match.rows:
        if match.with_x or not name.startswith("x-"):
            yield name, _ANY_VALUE if value is None else comparable(value)


def comparable(value: object) -> object:
    """A header's value so that equal values of different types of number or text are one, and nothing else is."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    if isinstance(value, (bytes, int, float)):
        return value
    return _INCOMPARABLE


def in_order(found: dict[Bound, None]) -> Iterable[Bound]:
    """Bindings in the order in which they were made."""
    return found if len(found) < 2 else sorted(found, key=_order)


def _order(row: Bound) -> int:
    return row.order


def _discard(index: dict[K, dict[Bound, None]], key: K, row: Bound) -> None:
    rows = index.get(key, {})
    rows.pop(row, None)
    if not rows:
        index.pop(key, None)


_TABLES: Final[Mapping[ExchangeKind, type[DirectTable | FanoutTable | TopicTable | HeadersTable]]] = {
    "direct": DirectTable,
    "fanout": FanoutTable,
    "topic": TopicTable,
    "headers": HeadersTable,
}
