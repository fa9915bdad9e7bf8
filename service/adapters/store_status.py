"""What a sender is told about an instance: one table for C-STORE and STOW-RS."""

from collections.abc import Mapping

from service.adapters.dimse_status import (
    CANNOT_UNDERSTAND,
    DATA_SET_MISMATCH,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
)
from service.domain.errors import (
    InputError,
    InstanceMismatchError,
    LimitExceededError,
    OwnOutputError,
    ThrombolensError,
)

# The nearest class of an error's ancestry counts.
_STATUS: Mapping[type[ThrombolensError], int] = {
    OwnOutputError: NOT_AUTHORISED,
    InstanceMismatchError: DATA_SET_MISMATCH,
    LimitExceededError: OUT_OF_RESOURCES,
    InputError: CANNOT_UNDERSTAND,
    # The disk, the database: ours to mend.
    ThrombolensError: OUT_OF_RESOURCES,
}


def status_of(error: ThrombolensError) -> int:
    """Return the status for an instance that was not taken."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
