"""A request of an AWS client and the answer to it, in the JSON protocols: which service, which action, what input.

It turns HTTP into typed inputs, and outputs or errors back into HTTP. It knows no action, and checks no value.

Spec: Smithy, AWS JSON 1.0 and 1.1 protocols; the header `x-amzn-query-error` is that of `awsQueryCompatible`.
"""

import uuid
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.http.messages import Headers, Request, Response

JSON: Final = "application/x-amz-json-"
TARGETS: Final = {"AmazonSQS": "sqs", "Kinesis_20131202": "kinesis"}
"""What comes before the dot in `X-Amz-Target`, and the service that it means."""

VERSIONS: Final = {"sqs": "1.0", "kinesis": "1.1"}

I = TypeVar("I")  # noqa: E741 - an input


class Call(Struct, frozen=True, kw_only=True):
    """One request: `action` of `service`, with its body as it came.

    `compatible` says that the client also wants to hear what the older protocol calls an error.
    """

    service: str
    action: str
    body: bytes
    request_id: str
    compatible: bool = False

    @property
    def content_type(self) -> str:
        """Of the answer."""
        return JSON + VERSIONS[self.service]


def read(request: Request) -> Call:
    """The call that a request makes.

    Raises:
        AwsError: it makes none.
    """
    if request.method != "POST":
        raise AwsError("UnknownOperationException", f"actions are asked for by POST, not by {request.method}")
    target = request.header("x-amz-target") or ""
    prefix, _, action = target.partition(".")
    service = TARGETS.get(prefix)
    if service is None or not action:
        raise AwsError("UnknownOperationException", f"the header X-Amz-Target names no action of a service: {target!r}")
    compatible = (request.header("x-amzn-query-mode") or "").lower() == "true"
    return Call(service=service, action=action, body=request.body, request_id=str(uuid.uuid4()), compatible=compatible)


def decode(call: Call, shape: type[I]) -> I:
    """The input of a call; members that nobody knows are passed over, as AWS does.

    Raises:
        AwsError: the body is no JSON, or a member has another type.
    """
    try:
        return msgspec.json.decode(call.body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise AwsError("SerializationException", f"the input has another form: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AwsError("SerializationException", f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise AwsError("SerializationException", "the body nests deeper than any input does") from error


def answer(call: Call, output: object) -> Response:
    """The answer with an output, or with none."""
    body = b"{}" if output is None else msgspec.json.encode(output)
    return Response(headers=_headers(call), body=body)


def refusal(call: Call | None, error: AwsError, service: str = "sqs") -> Response:
    """The answer with an error; to a request that could not be read as a call, in the form of `service`."""
    if call is None:
        call = Call(service=service, action="", body=b"", request_id=str(uuid.uuid4()))
    headers = _headers(call)
    if call.compatible:
        fault = "Sender" if error.sender else "Receiver"
        headers = (*headers, ("x-amzn-query-error", f"{error.query_code};{fault}"))
    space = "com.amazonaws.sqs#" if call.service == "sqs" else ""
    body = msgspec.json.encode({"__type": f"{space}{error.code}", "message": error.message})
    return Response(status=error.status, headers=headers, body=body)


def _headers(call: Call) -> Headers:
    return ("Content-Type", call.content_type), ("x-amzn-RequestId", call.request_id)
