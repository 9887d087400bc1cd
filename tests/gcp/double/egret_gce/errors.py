"""Errors as Compute Engine tells them: the legacy body, and errors of operations."""

import http
import json
from typing import Any

# The reason of an HTTP error, and the code that the same has in an operation.
CODES = {
    "alreadyExists": "RESOURCE_ALREADY_EXISTS",
    "conditionNotMet": "CONDITION_NOT_MET",
    "forbidden": "PERMISSIONS_ERROR",
    "internalError": "INTERNAL_ERROR",
    "invalid": "INVALID_FIELD_VALUE",
    "limitExceeded": "LIMIT_EXCEEDED",
    "ipInUseByAnotherResource": "IP_IN_USE_BY_ANOTHER_RESOURCE",
    "notFound": "RESOURCE_NOT_FOUND",
    "quotaExceeded": "QUOTA_EXCEEDED",
    "rateLimitExceeded": "RATE_LIMIT_EXCEEDED",
    "required": "REQUIRED_FIELD_MISSING",
    "resourceInUseByAnotherResource": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    "resourceNotReady": "RESOURCE_NOT_READY",
    "backendError": "SERVICE_UNAVAILABLE",
}
# What a status is for, where a test asks for it without a reason.
REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "alreadyExists",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "internalError",
    503: "backendError",
}


class ApiError(Exception):
    """`late`: the call is accepted, and its operation ends with this."""

    def __init__(self, status: int, reason: str, message: str, late: bool = False) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.late = status, reason, message, late

    def body(self) -> bytes:
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.reason == "quotaExceeded" or self.reason == "rateLimitExceeded":
            detail["domain"] = "usageLimits"
        if self.status == 401:
            detail |= {"location": "Authorization", "locationType": "header"}
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        return json.dumps({"error": error}).encode()

    def of_operation(self) -> dict[str, Any]:
        """The fields that an operation gets that ends with this."""
        return {
            "error": {"errors": [{"code": CODES.get(self.reason, self.reason), "message": self.message}]},
            "httpErrorStatusCode": self.status,
            "httpErrorMessage": http.HTTPStatus(self.status).phrase.upper(),
        }


def invalid(field: str, value: Any, why: str) -> ApiError:
    shown = value if isinstance(value, str) else json.dumps(value)
    return ApiError(400, "invalid", f"Invalid value for field '{field}': '{shown}'. {why}")


def required(field: str) -> ApiError:
    return ApiError(400, "required", f"Required field '{field}' not specified")


def not_found(path: str) -> ApiError:
    return ApiError(404, "notFound", f"The resource '{path}' was not found")


def already_exists(path: str) -> ApiError:
    return ApiError(409, "alreadyExists", f"The resource '{path}' already exists")


def not_ready(path: str) -> ApiError:
    return ApiError(400, "resourceNotReady", f"The resource '{path}' is not ready")


def in_use(path: str, by: str) -> ApiError:
    return ApiError(
        400,
        "resourceInUseByAnotherResource",
        f"The resource '{path}' is already being used by '{by}'",
    )


def ip_in_use(address: str) -> ApiError:
    return ApiError(
        409,
        "ipInUseByAnotherResource",
        f"IP '{address}' is already being used by another resource.",
        late=True,
    )


def stale(what: str) -> ApiError:
    return ApiError(412, "conditionNotMet", f"{what} is missing or not the present one: read it again.")


def quota(metric: str, limit: float, where: str) -> ApiError:
    return ApiError(403, "quotaExceeded", f"Quota '{metric}' exceeded. Limit: {limit:.1f} in {where}.")


def limit(what: str, most: int) -> ApiError:
    """A limit that is the same for every project."""
    return ApiError(403, "limitExceeded", f"{what}: at most {most} are allowed.")


def forbidden(permission: str, path: str) -> ApiError:
    return ApiError(403, "forbidden", f"Required '{permission}' permission for '{path}'")


def not_modelled(what: str) -> ApiError:
    return ApiError(501, "notImplemented", f"This double does not have {what}.")
