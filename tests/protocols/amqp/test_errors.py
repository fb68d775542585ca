"""Every refusal of ours has a code of AMQP's, and its text fits where it has to."""

import inspect

from isthmus import errors
from isthmus.protocols.amqp.errors import CODES, Code, Refused, refused, reply_text
from isthmus.protocols.amqp.methods import REPLY_NAMES


def refusals() -> list[type[errors.RequestError]]:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    return [each for each in classes if issubclass(each, errors.RequestError) and each is not errors.RequestError]


def test_the_table_is_complete() -> None:
    assert set(refusals()) <= set(CODES)


def test_the_codes_have_the_names_of_the_protocol() -> None:
    assert {code.value: code.name for code in Code if code.value in REPLY_NAMES} == {
        code.value: REPLY_NAMES[code] for code in Code
    }


def test_a_refusal_says_its_name_first_and_closes_what_its_code_closes() -> None:
    missing = refused(errors.UnknownQueue("q"))

    assert missing.text.startswith("NOT_FOUND - no queue 'q'")
    assert not missing.hard
    assert Refused(Code.NOT_ALLOWED, "x").hard


def test_what_is_too_large_is_told_in_rabbitmq_s_words() -> None:
    told = refused(errors.RecordTooLarge(9, 8))

    assert told.text == "PRECONDITION_FAILED - message size 9 is larger than configured max size 8"


def test_the_disk_and_bugs_have_codes_too() -> None:
    assert refused(errors.Closed("it")).code is Code.INTERNAL_ERROR
    assert refused(errors.InvariantError("x")).code is Code.INTERNAL_ERROR


def test_a_text_is_cut_to_what_a_short_string_holds() -> None:
    assert len(reply_text(Code.NOT_FOUND, "ü" * 300).encode()) <= 255
