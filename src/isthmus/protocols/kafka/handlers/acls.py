"""Access control lists, as Kafka's tools ask for them: there are none, and every request is told so.

Who may do what is said in grants of users, which `isthmus user` changes; nothing here reads or changes them.
"""

from typing import Final

from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.call import Call

WHY: Final = "there are no access control lists here: users have grants, which `isthmus user` shows and changes"


def describe_acls(_: Call) -> m.DescribeAclsResponse:
    """None can be read.

    Spec: DescribeAcls (29). Deviation: always SECURITY_DISABLED, since there are grants instead.
    """
    return m.DescribeAclsResponse(error_code=Code.SECURITY_DISABLED, error_message=WHY)


def create_acls(call: Call) -> m.CreateAclsResponse:
    """None can be made.

    Spec: CreateAcls (30). Deviation: always SECURITY_DISABLED, since there are grants instead.
    """
    asked: m.CreateAclsRequest = call.request
    refused = m.CreateAclsResponseResult(error_code=Code.SECURITY_DISABLED, error_message=WHY)
    return m.CreateAclsResponse(results=(refused,) * len(asked.creations))


def delete_acls(call: Call) -> m.DeleteAclsResponse:
    """None can be deleted.

    Spec: DeleteAcls (31). Deviation: always SECURITY_DISABLED, since there are grants instead.
    """
    asked: m.DeleteAclsRequest = call.request
    refused = m.DeleteAclsResponseFilterResult(error_code=Code.SECURITY_DISABLED, error_message=WHY)
    return m.DeleteAclsResponse(filter_results=(refused,) * len(asked.filters))
