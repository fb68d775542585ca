"""The tables of Kafka's messages."""

import pytest

from isthmus.protocols.kafka.schema import Field, api_name, layouts, requests, response_to, singular, snake


def walk(fields: tuple[Field, ...]) -> list[Field]:
    return [each for field in fields for each in (field, *walk(field.fields))]


def field(message: str, name: str) -> Field:
    (found,) = [each for each in layouts()[message].fields if each.name == name]
    return found


def test_every_request_has_an_answer_of_the_same_versions() -> None:
    for request in requests().values():
        answer = response_to(request)

        assert (answer.api_key, answer.versions, answer.flexible) == (
            request.api_key,
            request.versions,
            request.flexible,
        )


def test_tags_are_of_flexible_versions_only() -> None:
    for layout in layouts().values():
        for each in walk(layout.fields):
            if each.tag is not None:
                assert layout.flexible is not None
                assert max(each.tag_from, each.versions[0]) >= layout.flexible


def test_a_field_knows_its_versions_and_where_it_may_be_null() -> None:
    topics = field("MetadataRequest", "topics")
    operations = field("MetadataRequest", "include_cluster_authorized_operations")

    assert [topics.nullable(version) for version in (0, 1, 13)] == [False, True, True]
    assert [operations.within(version) for version in (7, 8, 10, 11)] == [False, True, True, False]
    assert field("FetchRequest", "max_bytes").default == 0x7FFFFFFF
    assert field("FetchResponse", "node_endpoints").tagged(16)


@pytest.mark.parametrize(
    ("name", "expected"), [("ProducerId", "producer_id"), ("timeoutMs", "timeout_ms"), ("Enable2Pc", "enable2_pc")]
)
def test_names_become_those_of_python(name: str, expected: str) -> None:
    assert snake(name) == expected


def test_one_of_many_has_the_name_of_one() -> None:
    assert [singular(name) for name in ("Topics", "Entries", "PartitionData")] == ["Topic", "Entry", "PartitionData"]


def test_an_api_is_named_for_people() -> None:
    assert (api_name(1), api_name(4_711)) == ("Fetch", "API 4711")
