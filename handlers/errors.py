"""The errors a client can get; the whole tree:

AtriumError
├── ValidationFailed    VALIDATION_ERROR   422
├── Unauthorized        UNAUTHORIZED       401
├── Forbidden           FORBIDDEN          403
├── NotFound            NOT_FOUND          404
├── UnknownCommand      UNKNOWN_COMMAND    404
├── Conflict            CONFLICT           409
├── VersionConflict     VERSION_CONFLICT   409
├── QuotaExceeded       QUOTA_EXCEEDED     402
├── PayloadTooLarge     PAYLOAD_TOO_LARGE  413
├── RateLimited         RATE_LIMITED       429
├── Unavailable         UNAVAILABLE        503
└── Internal            INTERNAL           500
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import ValidationError


class AtriumError(Exception):
    """Knows its code, its HTTP status, and whether and when trying again helps."""

    code: ClassVar[str]
    status: ClassVar[int]
    meaning: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        field_errors: Mapping[str, list[str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.field_errors = dict(field_errors or {})
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The `error` of the envelope."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "field_errors": self.field_errors,
            "retry_after": self.retry_after,
        }


class ValidationFailed(AtriumError):
    code, status = "VALIDATION_ERROR", 422
    meaning = "The payload does not fit; field_errors says where."

    @classmethod
    def of(cls, error: ValidationError) -> "ValidationFailed":
        fields: dict[str, list[str]] = {}
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            fields.setdefault(".".join(str(part) for part in item["loc"]) or "payload", []).append(
                item["msg"]
            )
        return cls("The payload does not fit", field_errors=fields)

    @classmethod
    def field(cls, name: str, message: str) -> "ValidationFailed":
        return cls("The payload does not fit", field_errors={name: [message]})


class Unauthorized(AtriumError):
    code, status = "UNAUTHORIZED", 401
    meaning = "No, bad or expired credentials."


class Forbidden(AtriumError):
    code, status = "FORBIDDEN", 403
    meaning = "A member without the permission."


class NotFound(AtriumError):
    code, status = "NOT_FOUND", 404
    meaning = "Does not exist, or is not yours to know of."

    def __init__(self, message: str = "Not found", **rest: Any) -> None:
        super().__init__(message, **rest)


class UnknownCommand(AtriumError):
    code, status = "UNKNOWN_COMMAND", 404
    meaning = "No command, query or signal has this name."


class Conflict(AtriumError):
    code, status = "CONFLICT", 409
    meaning = "Breaks a rule, such as a taken key or a full column."


class VersionConflict(AtriumError):
    code, status = "VERSION_CONFLICT", 409
    meaning = "expected_version is old; details.current has the entity, details.changed_by who and when."


class QuotaExceeded(AtriumError):
    code, status = "QUOTA_EXCEEDED", 402
    meaning = "The limit of the plan is reached."


class PayloadTooLarge(AtriumError):
    code, status = "PAYLOAD_TOO_LARGE", 413
    meaning = "The packet or body is larger than the server accepts."


class RateLimited(AtriumError):
    code, status = "RATE_LIMITED", 429
    meaning = "Too many calls; retry_after says in how many seconds to come back."


class Unavailable(AtriumError):
    code, status = "UNAVAILABLE", 503
    meaning = "A dependency is down. Safe to retry with the same command_id."

    def __init__(self, message: str = "Not available just now; retry with the same command_id") -> None:
        super().__init__(message, retry_after=1.0)


class Internal(AtriumError):
    code, status = "INTERNAL", 500
    meaning = "A fault of the server; request_id finds it in the log."

    def __init__(self) -> None:
        super().__init__("Something went wrong on the server; it has been logged under this request_id")


ERRORS: Final[tuple[type[AtriumError], ...]] = tuple(AtriumError.__subclasses__())

CONSTRAINTS: Final[dict[str, tuple[str, str]]] = {}
"""Constraint of the schema -> (field, sentence) of the CONFLICT that breaking it means."""


def constraint(name: str, field: str, sentence: str) -> None:
    """Give a constraint of the schema its words."""
    CONSTRAINTS[name] = (field, sentence)


def broken(constraint_name: str | None) -> Conflict:
    """The CONFLICT for a broken constraint."""
    field, sentence = CONSTRAINTS.get(constraint_name or "", ("", "This contradicts what is already there"))
    return Conflict(sentence, field_errors={field: [sentence]} if field else None)
