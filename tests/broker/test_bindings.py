"""Bindings of an exchange, found as its kind finds them."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker.bindings import NOTHING, Bound, Headers, Table, comparable, identity, table_of, words_of
from isthmus.definition import ExchangeKind, HeaderMatch, Scalar

KINDS: list[ExchangeKind] = ["direct", "fanout", "topic", "headers"]


def filled(kind: ExchangeKind, keys: Iterable[str]) -> Table:
    """A table in which the bindings lead to topics 1, 2, 3 and so on."""
    table = table_of(kind)
    for number, key in enumerate(keys, 1):
        table.add(Bound(number, 0, key, None, b"", number))
    return table


def found(table: Table, *keys: str, headers: Headers = NOTHING) -> list[int]:
    return [row.topic for row in table.find(keys, headers)]


def by_headers(*matches: HeaderMatch) -> Table:
    table = table_of("headers")
    for number, match in enumerate(matches, 1):
        table.add(Bound(number, 0, "", match, b"", number))
    return table


class TestDirect:
    def test_the_key_decides(self) -> None:
        table = filled("direct", ["a", "b", "a", ""])

        assert found(table, "a") == [1, 3]
        assert found(table, "c") == []
        assert found(table, "") == [4]

    def test_one_of_several_keys_is_enough(self) -> None:
        assert found(filled("direct", ["a", "b", "a", "c"]), "b", "a", "b") == [1, 2, 3]


class TestFanout:
    def test_all_match(self) -> None:
        assert found(filled("fanout", ["a", "b", "a"]), "whatever", "x") == [1, 2, 3]


class TestTopic:
    """Spec: AMQP 0-9-1, 3.1.3.3."""

    @pytest.mark.parametrize(
        ("pattern", "fit", "unfit"),
        [
            ("a.b", ["a.b"], ["a", "a.b.c", "a.c", ""]),
            ("a.*", ["a.b", "a."], ["a", "a.b.c"]),
            ("*", ["a"], ["", "a.b"]),
            ("#", ["", "a", "a.b.c", "..."], []),
            ("a.#", ["a", "a.b", "a.b.c"], ["b", "", "ab"]),
            ("#.b", ["b", "a.b", "a.c.b"], ["b.a", ""]),
            ("a.#.b", ["a.b", "a.x.b", "a.b.b", "a.b.c.b"], ["a", "b", "a.b.c"]),
            ("#.#", ["", "a", "a.b"], []),
            ("#.*", ["a", "a.b"], [""]),
            ("*.#", ["a", "a.b"], [""]),
            ("*.stock.#.nyse", ["eur.stock.nyse", "usd.stock.db.nyse"], ["stock.nyse"]),
            ("", [""], ["a", "."]),
            ("a..b", ["a..b"], ["a.b", "a.x.b"]),
            ("a.*.b", ["a..b", "a.x.b"], ["a.b"]),
        ],
    )
    def test_words_are_compared_and_wildcards_take_one_or_any_number(
        self, pattern: str, fit: list[str], unfit: list[str]
    ) -> None:
        table = filled("topic", [pattern])

        assert [key for key in fit if not found(table, key)] == []
        assert [key for key in unfit if found(table, key)] == []

    def test_wildcards_in_the_key_of_a_publisher_are_words(self) -> None:
        table = filled("topic", ["a.*", "a.#", "a.b"])

        assert found(table, "a.*") == [1, 2]
        assert found(table, "a.#") == [1, 2]

    def test_what_matches_comes_in_the_order_of_binding(self) -> None:
        assert found(filled("topic", ["#", "a.b", "a.*", "x", "*.b"]), "a.b") == [1, 2, 3, 5]

    def test_many_patterns_with_many_wildcards_do_not_multiply(self) -> None:
        key = ".".join("a" * 60)

        assert found(filled("topic", ["#.a." * 30 + "#", "#.a." * 60 + "b"]), key) == [1]

    @given(st.lists(st.text("ab.*#", max_size=6), max_size=8), st.data())
    def test_what_is_taken_out_matches_no_more_and_leaves_nothing(
        self, patterns: list[str], data: st.DataObject
    ) -> None:
        table = table_of("topic")
        rows = [Bound(number, 0, pattern, None, b"", number) for number, pattern in enumerate(patterns, 1)]
        for row in rows:
            table.add(row)

        out = set(data.draw(st.lists(st.sampled_from(rows)))) if rows else set()
        for row in out:
            table.remove(row)
        fresh = table_of("topic")
        for row in rows:
            if row not in out:
                fresh.add(row)

        for key in ("", "a", "a.b", "b.a.b", ".", "a..b"):
            assert found(table, key) == found(fresh, key)


class TestHeaders:
    def test_all_wants_every_pair_and_any_wants_one(self) -> None:
        rows: tuple[tuple[str, Scalar], ...] = (("type", b"report"), ("size", 5))
        table = by_headers(HeaderMatch(rows=rows), HeaderMatch(mode="any", rows=rows))

        assert found(table, "", headers={"type": "report", "size": 5, "more": 1}) == [1, 2]
        assert found(table, "", headers={"type": b"report"}) == [2]
        assert found(table, "", headers={"type": b"letter", "size": 6}) == []

    def test_nothing_to_look_at_is_all_there_and_none_of_it(self) -> None:
        table = by_headers(HeaderMatch(), HeaderMatch(mode="any"))

        assert found(table, "") == [1]

    def test_a_name_without_a_value_has_to_be_there(self) -> None:
        table = by_headers(HeaderMatch(rows=(("a", None),)), HeaderMatch(mode="any", rows=(("a", None), ("b", None))))

        assert found(table, "", headers={"a": {"nested": 1}}) == [1, 2]
        assert found(table, "", headers={"b": None}) == [2]
        assert found(table, "") == []

    def test_names_with_x_count_only_when_that_is_said(self) -> None:
        rows: tuple[tuple[str, Scalar], ...] = (("x-a", 1), ("b", 2))
        table = by_headers(
            HeaderMatch(rows=rows),
            HeaderMatch(rows=rows, with_x=True),
            HeaderMatch(mode="any", rows=rows),
            HeaderMatch(mode="any", rows=rows, with_x=True),
        )

        assert found(table, "", headers={"b": 2}) == [1, 3, 4]
        assert found(table, "", headers={"x-a": 1}) == [4]
        assert found(table, "", headers={"x-a": 1, "b": 2}) == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("one", "other", "equal"),
        [
            (1, 1.0, True), (b"a", "a", True), (True, 1, False), (False, 0, False), (b"1", 1, False),
            (None, None, True), ([1], [1], True), (True, True, True),
        ],
    )  # fmt: skip
    def test_values_are_equal_whatever_their_type_of_number_or_text(
        self, one: object, other: object, *, equal: bool
    ) -> None:
        assert (comparable(one) == comparable(other)) == equal

    def test_what_cannot_be_compared_equals_no_value_of_a_binding(self) -> None:
        table = by_headers(HeaderMatch(rows=(("a", 1),)))

        assert found(table, "", headers={"a": [1]}) == []

    def test_what_is_taken_out_matches_no_more(self) -> None:
        table = table_of("headers")
        rows = [
            Bound(1, 0, "", HeaderMatch(rows=(("a", 1), ("b", 2))), b"", 1),
            Bound(2, 0, "", HeaderMatch(mode="any", rows=(("a", 1), ("b", 2))), b"", 2),
            Bound(3, 0, "", None, b"", 3),
            Bound(4, 0, "", HeaderMatch(mode="any"), b"", 4),
        ]
        for row in rows:
            table.add(row)

        for row in (rows[0], rows[2], rows[3]):
            table.remove(row)

        assert found(table, "", headers={"a": 1, "b": 2}) == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_was_emptied_finds_nothing(kind: ExchangeKind) -> None:
    table = table_of(kind)
    row = Bound(1, 0, "a", None, b"", 1)
    table.add(row)

    table.remove(row)

    assert found(table, "a") == []


def test_two_bindings_are_one_when_all_that_was_said_of_them_is_the_same() -> None:
    yes, one = HeaderMatch(rows=(("a", True),)), HeaderMatch(rows=(("a", 1),))

    assert identity(1, 0, "k", yes, b"") == identity(1, 0, "k", HeaderMatch(rows=(("a", True),)), b"")
    assert len({identity(1, 0, "k", match, kept) for match in (None, yes, one) for kept in (b"", b"x")}) == 6


def test_an_empty_key_has_no_words() -> None:
    assert words_of("") == []
    assert words_of(".") == ["", ""]
