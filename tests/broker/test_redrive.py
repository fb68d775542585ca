"""Dead letters: what is written, what is read back, and the way home."""

import pytest

from isthmus.broker import redrive
from isthmus.broker.publishing import ONLY
from isthmus.broker.redrive import home_of, letter, revived, view, without_own
from isthmus.limits import HEADERS_MAX, REASON_BYTES_MAX
from isthmus.log.headers import append_headers, decode_headers, encode_headers, header_value
from isthmus.record import NO_HEADERS, Record, StoredRecord

OWN = encode_headers([("ce_type", b"Placed"), ("trace", None)])


def stored(headers: bytes = OWN) -> StoredRecord:
    return StoredRecord(7, 1_000, b"key", b"value", headers)


def dead(
    record: StoredRecord, reason: str = "no money", traceback: str = "Traceback", origin: str = "group:billing"
) -> StoredRecord:
    """The letter of a record as it comes back from the dead letters."""
    made = letter(record, cause="orders/0/7", origin=origin, reason=reason, traceback=traceback, failed=3, now_ms=2_000)
    return StoredRecord(0, made.timestamp_ms, made.key, made.value, made.headers)


class TestLetters:
    def test_a_letter_keeps_the_record_and_says_why_it_died(self) -> None:
        found = view("orders.billing.dead", 0, dead(stored()))

        assert (found.record.key, found.record.value, found.record.timestamp_ms) == (b"key", b"value", 1_000)
        assert decode_headers(found.record.headers)[:2] == decode_headers(OWN)
        assert (found.cause, found.reason, found.traceback) == ("orders/0/7", "no money", "Traceback")
        assert (found.failed, found.died_ms) == (3, 2_000)

    def test_of_a_long_text_the_end_is_kept(self) -> None:
        found = view("dead", 0, dead(stored(), traceback="x" * REASON_BYTES_MAX + "the last line"))

        assert len(found.traceback.encode()) == REASON_BYTES_MAX
        assert found.traceback.endswith("the last line")

    def test_text_that_is_cut_inside_a_character_or_is_no_text_is_still_shown(self) -> None:
        found = view("dead", 0, dead(stored(), reason="é" * REASON_BYTES_MAX + "x", traceback="\ud800"))

        assert found.reason.endswith("éx")
        assert found.traceback == "?"

    def test_a_record_with_as_many_headers_as_fit_can_die_and_come_home(self) -> None:
        full = encode_headers([(f"h{number}", b"") for number in range(HEADERS_MAX)])

        home = revived(dead(stored(full)), "billing")

        assert decode_headers(home.headers)[:HEADERS_MAX] == decode_headers(full)

    def test_a_record_whose_headers_cannot_be_read_dies_all_the_same(self) -> None:
        found = view("dead", 0, dead(stored(b"\x7fisthmus-garbage")))

        assert (found.cause, found.record.value) == ("orders/0/7", b"value")

    def test_what_belongs_to_one_life_is_not_taken_into_the_next(self) -> None:
        marks = [(name, b"1") for name in ("isthmus-due", "isthmus-expire", "isthmus-dedup", "isthmus-only")]
        block = append_headers(OWN, marks)

        died = dead(stored(block))

        assert [name for name, _ in decode_headers(died.headers)] == [
            "ce_type",
            "trace",
            "isthmus-cause",
            "isthmus-origin",
            "isthmus-reason",
            "isthmus-traceback",
            "isthmus-failed",
            "isthmus-died",
        ]

    def test_a_block_without_marks_is_left_as_it_is(self) -> None:
        assert without_own(OWN) is OWN

    def test_other_peoples_records_among_dead_letters_can_be_looked_at(self) -> None:
        block = encode_headers([("isthmus-failed", b"many"), ("isthmus-died", b"9" * 40)])

        found = view("dead", 0, stored(block))

        assert (found.failed, found.died_ms, found.cause, found.reason) == (0, 0, "", "")


class TestTheWayHome:
    @pytest.mark.parametrize("topic", ["orders", "a/b/c"])
    def test_a_letter_knows_whose_it_was_and_its_topic(self, topic: str) -> None:
        made = letter(stored(), cause=f"{topic}/3/12", origin="queue:mail", reason="", traceback="", failed=1, now_ms=0)

        assert home_of(StoredRecord(0, 0, None, None, made.headers)) == ("queue:mail", topic)

    def test_home_comes_the_record_with_its_cause_and_without_the_rest(self) -> None:
        home = revived(dead(stored()), None)

        assert home == Record(b"value", b"key", append_headers(OWN, [("isthmus-cause", b"orders/0/7")]), 1_000)

    def test_for_a_group_it_names_the_group(self) -> None:
        home = revived(dead(stored()), "billing")

        assert header_value(home.headers, ONLY) == b"billing"

    def test_however_often_it_dies_it_does_not_grow(self) -> None:
        record, sizes = stored(), set()
        for _ in range(5):
            home = revived(dead(record), "billing")
            record = StoredRecord(9, home.timestamp_ms, home.key, home.value, home.headers)
            sizes.add(len(home.headers))

        assert len(sizes) == 1

    def test_a_tombstone_stays_one(self) -> None:
        tombstone = StoredRecord(1, 0, b"key", None, NO_HEADERS)

        assert revived(dead(tombstone), None).value is None


def test_the_names_of_headers_are_ours() -> None:
    assert all(name.startswith("isthmus-") for name in redrive.OWN)
