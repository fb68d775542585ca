"""Input as records: JSON lines, CSV, lines, raw; what each becomes, and what is said of a line that cannot be."""

import io

import pytest

from isthmus.cli.inputs import LINE_BYTES_MAX, BadLine, Source, Wanted, batches, fields_of, key_of, records
from isthmus.errors import InvalidArgument
from isthmus.log.headers import decode_headers
from isthmus.record import Record


def source(text: bytes | str, read_bytes: int = 1 << 16) -> Source:
    return Source(io.BytesIO(text.encode() if isinstance(text, str) else text), read_bytes)


def wanted(form: str = "json", key: tuple[str, ...] = (), **more: object) -> Wanted:
    return Wanted(form=form, key=key, **more)  # type: ignore[arg-type]  # tests name forms as text


def one(text: str, *, form: str = "json", key: tuple[str, ...] = (), **more: object) -> Record:
    ((numbered),) = records(source(text), wanted(form, key, **more))
    return numbered.record


class TestJson:
    def test_any_json_is_a_payload_as_it_is_written(self) -> None:
        assert one('{"a":  1.10}').value == b'{"a":  1.10}'
        assert one("[1]").value == b"[1]"
        assert one('"text"').value == b'"text"'

    def test_an_envelope_gives_value_key_headers_and_type(self) -> None:
        record = one('{"key": "k", "value": {"a": 1.10}, "headers": {"by": "me"}, "type": "Placed"}')

        assert (record.key, record.value) == (b"k", b'{"a": 1.10}')
        assert dict(decode_headers(record.headers)) == {
            "ce_specversion": b"1.0",
            "ce_type": b"Placed",
            "content-type": b"application/json",
            "by": b"me",
        }

    def test_an_object_with_other_members_is_a_payload(self) -> None:
        text = '{"key": "k", "value": 1, "sensor": "s"}'

        assert one(text).value == text.encode()

    @pytest.mark.parametrize(
        ("envelope", "value"),
        [
            ('{"value_text": "plain"}', b"plain"),
            ('{"value_base64": "/wA="}', b"\xff\x00"),
            ('{"value": null}', b"null"),
            ('{"tombstone": true, "key": "k"}', None),
            ('{"value": null, "tombstone": true, "key": "k"}', None),
        ],
    )
    def test_payloads_that_are_no_json_have_a_member_of_their_own(self, envelope: str, value: bytes | None) -> None:
        assert one(envelope).value == value

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("{", "not JSON"),
            ("plain", "--format lines"),
            ('{"value": 1, "value_text": "x"}', "exactly one"),
            ('{"value_text": null}', "exactly one"),
            ('{"tombstone": false}', "exactly one"),
            ('{"value_base64": "?"}', "base64"),
            ('{"value": 1, "headers": ["a"]}', "envelope"),
            ('{"value": 1, "key": 1.5}', "envelope"),
        ],
    )
    def test_a_line_that_cannot_be_is_named_by_its_number(self, line: str, said: str) -> None:
        with pytest.raises(BadLine, match=said) as caught:
            list(records(source(f'{{"a": 1}}\n\n{line}\n'), wanted()))

        assert caught.value.line == 3

    def test_what_isthmus_writes_for_one_life_of_a_record_is_left_out(self) -> None:
        record = one('{"value": 1, "headers": {"isthmus-due": "5", "by": "me"}}')

        assert decode_headers(record.headers) == (("by", b"me"),)


class TestKeys:
    @pytest.mark.parametrize(
        ("payload", "fields", "key"),
        [
            ({"a": "x"}, (), None),
            ({"a": "x"}, ("a",), b"x"),
            ({"a": 7}, ("a",), b"7"),
            ({"a": "x", "b": 7}, ("a", "b"), b"x\x1f7"),
            ({"a": ""}, ("a",), b""),
        ],
    )
    def test_fields_make_the_key_that_the_library_makes(
        self, payload: dict[str, object], fields: tuple[str, ...], key: bytes | None
    ) -> None:
        assert key_of(payload, fields) == key

    @pytest.mark.parametrize("payload", [{"b": 1}, {"a": 1.5}, {"a": None}, {"a": True}, [1], "x"])
    def test_a_payload_that_has_no_such_key_is_refused(self, payload: object) -> None:
        with pytest.raises(InvalidArgument):
            key_of(payload, ("a",))

    def test_the_key_of_an_envelope_comes_first_and_null_is_none(self) -> None:
        assert one('{"key": "k", "value": {"a": "x"}}', key=("a",)).key == b"k"
        assert one('{"key": 7, "value": {"a": "x"}}', key=("a",)).key == b"7"
        assert one('{"key_base64": "/w==", "value": {"a": "x"}}', key=("a",)).key == b"\xff"
        assert one('{"key": null, "value": {"a": "x"}}', key=("a",)).key is None
        assert one('{"value": {"a": "x"}}', key=("a",)).key == b"x"

    def test_fields_are_separated_by_commas(self) -> None:
        assert fields_of("a, b") == ("a", "b")
        assert fields_of(None) == ()


class TestTypes:
    def test_a_type_that_the_destination_does_not_carry_is_refused(self) -> None:
        with pytest.raises(BadLine, match=r"carries A \| B"):
            one('{"a": 1}', types=("A", "B"))
        with pytest.raises(BadLine, match="type 'C'"):
            one('{"value": 1, "type": "C"}', types=("A", "B"))

    def test_the_line_comes_before_the_command(self) -> None:
        record = one('{"value": 1, "type": "B"}', types=("A", "B"), kind="A")

        assert dict(decode_headers(record.headers))["ce_type"] == b"B"

    def test_json_for_another_codec_is_refused_and_bytes_are_not(self) -> None:
        with pytest.raises(BadLine, match="protobuf"):
            one('{"a": 1}', codec="protobuf")
        with pytest.raises(BadLine, match="protobuf"):
            one('{"value": 1}', codec="protobuf")

        assert one('{"value_base64": "/w=="}', codec="protobuf").value == b"\xff"


class TestCsv:
    def test_rows_become_objects_of_texts(self) -> None:
        text = '\ufeffid,name\n1,Ada\n2,"a, ""b""\nc"\n'

        found = [each.record.value for each in records(source(text), wanted("csv"))]

        assert found == [b'{"id":"1","name":"Ada"}', b'{"id":"2","name":"a, \\"b\\"\\nc"}']

    def test_columns_of_numbers_are_named(self) -> None:
        text = "id,amount\n007,1.50\n8,\n"

        found = [each.record.value for each in records(source(text), wanted("csv", numbers=("amount",)))]

        assert found == [b'{"id":"007","amount":1.50}', b'{"id":"8","amount":null}']

    def test_the_key_is_the_cell_as_it_is_written(self) -> None:
        found = list(records(source("id,n\n007,1\n"), wanted("csv", ("id",), numbers=("n",))))

        assert found[0].record.key == b"007"

    @pytest.mark.parametrize(
        ("text", "line", "said"),
        [
            ("a,b\n1,2\n3\n", 3, "has 1 columns"),
            ("a,b\n1,2,3\n", 2, "has 3 columns"),
            ("a,a\n1,2\n", 1, "same name"),
            ('a\n"x\n', 2, "end of data"),
            ("a\n1\nx\n", 3, "no number"),
            (b"a\n\xff\n".decode("latin-1"), 2, "no number"),
        ],
    )
    def test_a_row_that_cannot_be_is_named_by_its_line(self, text: str, line: int, said: str) -> None:
        with pytest.raises(BadLine, match=said) as caught:
            list(records(source(text), wanted("csv", numbers=("a",))))

        assert caught.value.line == line

    def test_bytes_that_are_no_text_are_named_by_their_line(self) -> None:
        with pytest.raises(BadLine, match="UTF-8"):
            list(records(source(b"a\n\xff\n"), wanted("csv")))

    def test_a_row_over_several_lines_is_named_by_its_first(self) -> None:
        found = list(records(source('a,b\n"1\n2",3\n4,5\n'), wanted("csv")))

        assert [each.line for each in found] == [2, 4]

    def test_no_rows_are_no_events(self) -> None:
        assert list(records(source(""), wanted("csv"))) == []
        assert list(records(source("a,b\n"), wanted("csv"))) == []


class TestLinesAndRaw:
    def test_lines_are_payloads_as_they_are(self) -> None:
        found = [each.record.value for each in records(source(b"one\r\n\ntwo \xff\n"), wanted("lines"))]

        assert found == [b"one", b"two \xff"]

    def test_raw_is_one_payload(self) -> None:
        assert [each.record.value for each in records(source(b"a\nb\n"), wanted("raw"))] == [b"a\nb\n"]
        assert list(records(source(b""), wanted("raw"))) == []

    def test_a_key_field_needs_fields(self) -> None:
        with pytest.raises(BadLine, match="--format lines has no fields"):
            list(records(source("x\n"), wanted("lines", ("id",))))


class TestReading:
    def test_lines_come_out_the_same_however_they_are_read(self) -> None:
        text = b"one\ntwo\r\nthree\rthree\n\nlast"

        for size in range(1, len(text) + 1):
            assert list(source(text, size)) == [b"one\n", b"two\r\n", b"three\rthree\n", b"\n", b"last"]

    def test_a_line_without_end_is_refused_before_it_fills_the_memory(self) -> None:
        class Endless(io.BytesIO):
            given = 0

            def read(self, size: int | None = -1) -> bytes:
                self.given += size or 0
                return b"x" * (size or 0)

        file = Endless()

        with pytest.raises(BadLine, match="longer than"):
            list(Source(file, 1 << 20))
        assert file.given <= LINE_BYTES_MAX + (2 << 20)

    def test_batches_are_bounded_and_end_where_input_has_to_be_waited_for(self) -> None:
        whole = list(batches(source("1\n" * 2_500), wanted("json")))
        trickle = list(batches(source("1\n" * 10, 4), wanted("json")))

        assert [len(batch) for batch in whole] == [1_000, 1_000, 500]
        assert [len(batch) for batch in trickle] == [2] * 5

    def test_what_stood_before_a_bad_line_is_given_first(self) -> None:
        found = batches(source("1\n2\n{\n3\n"), wanted("json"))

        assert [each.line for each in next(found)] == [1, 2]
        with pytest.raises(BadLine):
            next(found)

    def test_large_events_make_small_batches(self) -> None:
        line = '"' + "x" * 400_000 + '"\n'

        assert [len(batch) for batch in batches(source(line * 5, 1 << 22), wanted("json"))] == [3, 2]
