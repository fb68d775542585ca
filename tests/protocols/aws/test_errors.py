"""Errors of AWS doors, as data."""

from isthmus.protocols.aws.errors import AwsError


def test_the_older_name_is_the_same_unless_it_is_given() -> None:
    assert AwsError("OverLimit", "too many").query_code == "OverLimit"
    assert AwsError("QueueNameExists", "there", query_code="QueueAlreadyExists").query_code == "QueueAlreadyExists"
