"""Behaviour is the same in both of SQS's protocols: tests that ask for `protocol` run in each."""

import pytest

from support.sqs import Sqs


@pytest.fixture(params=["json", "query"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The protocol in which the actions of `support.sqs` go and come."""
    monkeypatch.setattr(Sqs, "older", request.param == "query")
    return str(request.param)
