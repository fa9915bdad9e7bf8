"""What a sender is told about an instance: one table for C-STORE and STOW-RS."""

from collections.abc import Mapping

from service.domain.errors import (
    InputError,
    LimitExceededError,
    OwnOutputError,
    ThrombolensError,
)

SUCCESS = 0x0000
# PS3.7 annex C: a general failure, and that the service user may not do this.
PROCESSING_FAILURE = 0x0110
NOT_AUTHORISED = 0x0124
# PS3.4 table B.2-1. Out of resources is what senders try again later.
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000

# The nearest class of an error's ancestry counts.
_STATUS: Mapping[type[ThrombolensError], int] = {
    OwnOutputError: NOT_AUTHORISED,
    LimitExceededError: OUT_OF_RESOURCES,
    InputError: CANNOT_UNDERSTAND,
    # The disk, the database: ours to mend.
    ThrombolensError: OUT_OF_RESOURCES,
}


def status_of(error: ThrombolensError) -> int:
    """Return the status for an instance that was not taken."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
