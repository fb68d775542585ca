"""What an AWS door refuses with: a code of the service's model, AWS's text, and a status.

Data only; which core error becomes which is told by each service's own table.
"""

from isthmus.errors import ProtocolError


class AwsError(ProtocolError):
    """An answer that is an error.

    `code` is the name of the shape in the service's model, `query_code` what the older query protocol calls it (the
    same unless it is given), `status` that of HTTP. `sender` says that the caller can do something about it.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, query_code: str | None = None, sender: bool = True
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.query_code = query_code or code
        self.sender = sender
