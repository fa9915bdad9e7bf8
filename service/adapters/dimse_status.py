"""Statuses and failure reasons of DICOM services, as numbers, for our side and the other."""

SUCCESS = 0x0000
# PS3.7 annex C.
PROCESSING_FAILURE = 0x0110
# SOP Instance already there. Ours derive from what they say: it is the same object.
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_OBJECT_INSTANCE = 0x0112
INVALID_ARGUMENT = 0x0115
CLASS_INSTANCE_CONFLICT = 0x0119
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
# PS3.4 table B.2-1. Out of resources is what senders try again later.
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
