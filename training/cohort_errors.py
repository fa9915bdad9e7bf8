"""Errors of a hospital's own cohort, by who can fix it.

::

    ThrombolensError
    `-- CohortError               whoever keeps the data set
        |-- LayoutError               files or tables that are not as BIDS has them, or ambiguous
        |-- ValuesError               values that fit no unit or scale
        |-- LabelError                a label that is missing, empty or on another grid
        |-- SplitError                shares or centres that give no split
        `-- ConversionError           a series whose conversion is not what the service would see

Messages name the file and the offending value, never a patient.
"""

from service.domain.errors import ThrombolensError


class CohortError(ThrombolensError):
    """A data set cannot be trained on as it is."""

    code = "BAD_COHORT"
    fixed_by = "whoever keeps the data set"


class LayoutError(CohortError):
    """Files or tables are missing, ambiguous or unreadable."""

    code = "BAD_LAYOUT"


class ValuesError(CohortError):
    """Voxels do not fit the unit or scale that they are said to have, or any."""

    code = "BAD_VALUES"


class LabelError(CohortError):
    """A label is missing, has nothing left, or lies on another grid."""

    code = "BAD_LABEL"


class SplitError(CohortError):
    """The wanted shares or centres do not give a split."""

    code = "BAD_SPLIT"


class ConversionError(CohortError):
    """A converted series is not what the service would see of it."""

    code = "BAD_CONVERSION"
