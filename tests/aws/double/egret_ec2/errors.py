"""Errors as EC2 answers them.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from xml.sax.saxutils import escape

from moto.ec2.exceptions import EC2ClientError

# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html for 503; 403 for refusals.
_STATUS = {
    "AuthFailure": 401,
    "DryRunOperation": 412,
    "UnauthorizedOperation": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
}

# What the text says when a fault names only a code.
_MESSAGES = {
    "RequestLimitExceeded": "Request limit exceeded.",
    "InternalError": "An internal error has occurred",
    "Unavailable": "The service is unavailable. Please try again shortly.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
}


def refuse(code: str, message: str) -> EC2ClientError:
    """The exception that EC2's XML is made of; `raise refuse(...)`."""
    return EC2ClientError(code, message)


def status_of(code: str) -> int:
    return _STATUS.get(code, 400)


def message_of(code: str) -> str:
    return _MESSAGES.get(code, f"{code} on request of the test.")


def body_of(code: str, message: str, request_id: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    ).encode()
