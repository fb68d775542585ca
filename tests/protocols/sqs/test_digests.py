"""The digests that SQS's clients check, held against AWS's own values and moto's."""

from hypothesis import given
from hypothesis import strategies as st
from moto.sqs.models import Message

from isthmus.protocols.sqs.digests import md5, md5_of, size_of
from isthmus.protocols.sqs.shapes import Attributes, AttributeValue


def text(value: str, kind: str = "String") -> AttributeValue:
    return AttributeValue(data_type=kind, string_value=value)


def test_aws_has_the_same_digest() -> None:
    assert md5_of({"Foo": text("Bar")}) == "ae7155c6026991b6d54b11589678bf9c"
    assert md5(b"hello") == "5d41402abc4b2a76b9719d911017c592"
    assert md5_of({}) is None


values = st.text(min_size=1).map(text) | st.binary(min_size=1).map(
    lambda value: AttributeValue(data_type="Binary", binary_value=value)
)


@given(st.dictionaries(st.text("abcXYZ_-", min_size=1), values, min_size=1, max_size=5))
def test_another_implementation_has_the_same_digest(attributes: Attributes) -> None:
    theirs = Message("id", "body")
    for name, one in attributes.items():
        given = {"DataType": one.data_type, "StringValue": one.string_value, "BinaryValue": one.binary_value}
        theirs.message_attributes[name] = given

    assert md5_of(attributes) == theirs.attribute_md5


def test_names_types_and_values_count_and_characters_count_as_bytes() -> None:
    assert size_of("é", {"a": text("xyz")}) == 2 + 1 + 6 + 3
