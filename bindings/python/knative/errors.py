"""What can go wrong: twelve conditions, a class each."""

from __future__ import annotations


class Error(Exception):
    """Base of all errors of the library: `code` is the condition, `detail` a sentence that names
    the field, byte or peer."""

    code = "internal"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Error) and (type(self), self.detail) == (type(other),
                                                                          other.detail)

    def __hash__(self) -> int:
        return hash((type(self), self.detail))


class InvalidArgument(Error, ValueError):
    """The input is wrong whatever the state of the system."""

    code = "invalid_argument"


class NotFound(Error, LookupError):
    """The named thing does not exist."""

    code = "not_found"


class AlreadyExists(Error):
    """The thing to create exists already."""

    code = "already_exists"


class Conflict(Error):
    """Another writer came first (stale resourceVersion)."""

    code = "conflict"


class FailedPrecondition(Error):
    """Right input at the wrong time: closed, not ready, wrong state."""

    code = "failed_precondition"


class Unavailable(Error):
    """A peer or device cannot be reached now; a retry may help."""

    code = "unavailable"


class DeadlineExceeded(Error, TimeoutError):
    """The allowed time ran out."""

    code = "deadline_exceeded"


class Cancelled(Error):
    """The caller or the owner gave up."""

    code = "cancelled"


class ResourceExhausted(Error):
    """A named bound was reached: queue full, disk full, too large."""

    code = "resource_exhausted"


class Unimplemented(Error, NotImplementedError):
    """Valid but not supported here."""

    code = "unimplemented"


class DataLoss(Error):
    """Stored bytes are damaged."""

    code = "data_loss"


class Internal(Error):
    """A handler raised, or a foreign library misbehaved."""

    code = "internal"


class ManifestWarning(UserWarning):
    """Something in an object that is accepted has no effect."""


CONDITIONS: tuple[type[Error], ...] = (
    InvalidArgument, NotFound, AlreadyExists, Conflict, FailedPrecondition, Unavailable,
    DeadlineExceeded, Cancelled, ResourceExhausted, Unimplemented, DataLoss, Internal)
_BY_CODE = {condition.code: condition for condition in CONDITIONS}


def by_code(code: str, detail: str) -> Error:
    """The error of a condition by the name it has in C++."""
    return _BY_CODE.get(code, Internal)(detail)
