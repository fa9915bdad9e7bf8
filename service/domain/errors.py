"""Every error of the service, by who can fix it.

::

    ThrombolensError
    |-- InputError              the sender of the study
    |   |-- MalformedUploadError    a request body that is no upload
    |   |-- NotDicomError           no file of the upload is DICOM
    |   |-- TruncatedFileError      a DICOM file ends before its data does
    |   |-- UnsafeArchiveError      a zip whose names or sizes are unsafe
    |   |-- CorruptArchiveError     a zip that cannot be read
    |   |-- EncryptedArchiveError   a zip that needs a password
    |   |-- LimitExceededError      more bytes, files, slices or seconds than allowed
    |   |-- NoMagneticResonanceError  DICOM, but no MR image in it
    |   |-- MixedStudiesError       more than one patient or study in one upload
    |   |-- InstanceMismatchError   a data set that is not what its command says
    |   |-- OwnOutputError          a result of this service, sent back to it
    |   |-- StudyNotFoundError      a source does not have the study that was asked for
    |   `-- GeometryError           positions or spacings that do not form a volume
    |-- ConfigurationError      the operator of the service
    |   |-- UnknownModelError       no such model name or version
    |   |-- InvalidModelError       model.json or model.onnx is not what it promises
    |   |-- InvalidOverridesError   the file of site overrides cannot be understood
    |   |-- InvalidDestinationsError  the file of destinations cannot be understood
    |   |-- InvalidSourcesError     the file of sources cannot be understood
    |   |-- ProviderError           the wanted execution provider is not there
    |   |-- BrokerUnavailableError  the message broker cannot be reached
    |   |-- JobDatabaseError        the job database cannot be reached or upgraded
    |   |-- StorageError            uploads or results cannot be written
    |   `-- NoWorkerError           no worker answers
    |-- JobError                the caller of the API
    |   |-- UnknownJobError
    |   |-- UnknownDeliveryError
    |   |-- UnknownSourceError
    |   |-- IllegalTransitionError
    |   `-- ResultNotAvailableError
    |-- DeliveryError           the operator of the destination
    |   |-- DestinationUnreachableError  no connection, or it broke
    |   `-- DestinationRefusedError      it answered, but not as hoped
    |-- SourceError             the operator of the source: it cannot be fetched from
    |-- JobCancelledError       nobody: the caller asked for it
    |-- JobTimeoutError         the operator: the limit, or the machine
    |-- LeaseLostError          nobody: another worker has the job now
    `-- SelfCheckError          the developers: an object we wrote is not what we meant

Messages name the offending value and never hold a patient's name or identifier.
"""

from typing import ClassVar


class ThrombolensError(Exception):
    """Root of all errors of the service.

    Attributes
    ----------
    code : str
        Stable, upper-case name of the reason, as shown in problem details and job rows.
    fixed_by : str
        Who can do something about it.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    fixed_by: ClassVar[str] = "developers of Thrombolens"


class InputError(ThrombolensError):
    """What was sent cannot be used as it is."""

    code = "BAD_INPUT"
    fixed_by = "sender of the study"


class MalformedUploadError(InputError):
    """A request body that is no complete upload."""

    code = "MALFORMED_UPLOAD"


class NotDicomError(InputError):
    """No file of the upload is DICOM."""

    code = "NOT_DICOM"


class TruncatedFileError(InputError):
    """A DICOM file ends before its data does."""

    code = "TRUNCATED_FILE"


class UnsafeArchiveError(InputError):
    """A zip archive with names that leave its folder, or that unpacks to far more than it holds."""

    code = "UNSAFE_ARCHIVE"


class CorruptArchiveError(InputError):
    """A zip archive that ends early, fails its checksums, or is packed in an unknown way."""

    code = "CORRUPT_ARCHIVE"


class EncryptedArchiveError(InputError):
    """A zip archive that needs a password."""

    code = "ENCRYPTED_ARCHIVE"


class LimitExceededError(InputError):
    """The upload is larger than a limit in the settings."""

    code = "LIMIT_EXCEEDED"


class NoMagneticResonanceError(InputError):
    """There is DICOM, but no MR image."""

    code = "NO_MR_IMAGES"


class MixedStudiesError(InputError):
    """More than one patient or study in one upload."""

    code = "MIXED_STUDIES"


class InstanceMismatchError(InputError):
    """A data set of another SOP class, or another instance, than the command it came with says."""

    code = "INSTANCE_MISMATCH"


class OwnOutputError(InputError):
    """A result of this service, sent back to it as if it were an image."""

    code = "OWN_OUTPUT"


class StudyNotFoundError(InputError):
    """The source does not have the study that was asked for, or no MR image of it."""

    code = "STUDY_NOT_FOUND"
    fixed_by = "caller of the API"


class GeometryError(InputError):
    """Positions, orientations or spacings that do not form a regular volume."""

    code = "BAD_GEOMETRY"


class ConfigurationError(ThrombolensError):
    """The installation is not set up as it must be."""

    code = "BAD_CONFIGURATION"
    fixed_by = "operator of the service"


class UnknownModelError(ConfigurationError):
    """No model of this name and version is installed."""

    code = "UNKNOWN_MODEL"
    fixed_by = "caller of the API, or operator of the service"


class InvalidModelError(ConfigurationError):
    """A model folder does not hold what its model.json promises."""

    code = "INVALID_MODEL"


class InvalidOverridesError(ConfigurationError):
    """The file of site overrides cannot be read or understood."""

    code = "INVALID_OVERRIDES"


class InvalidDestinationsError(ConfigurationError):
    """The file of destinations, or a file it names, cannot be read or understood."""

    code = "INVALID_DESTINATIONS"


class InvalidSourcesError(ConfigurationError):
    """The file of sources, or a file it names, cannot be read or understood."""

    code = "INVALID_SOURCES"


class ProviderError(ConfigurationError):
    """The wanted ONNX Runtime execution provider is not available."""

    code = "PROVIDER_UNAVAILABLE"


class BrokerUnavailableError(ConfigurationError):
    """The message broker cannot be reached."""

    code = "BROKER_UNAVAILABLE"


class JobDatabaseError(ConfigurationError):
    """The job database cannot be reached, upgraded or written."""

    code = "JOB_DATABASE_UNAVAILABLE"


class StorageError(ConfigurationError):
    """Uploads or results cannot be written: the disk is full, or not ours."""

    code = "STORAGE_FAILED"


class NoWorkerError(ConfigurationError):
    """No worker answered in time."""

    code = "NO_WORKER"


class JobError(ThrombolensError):
    """A request about a job that cannot be met."""

    code = "BAD_JOB_REQUEST"
    fixed_by = "caller of the API"


class UnknownJobError(JobError):
    """There is no job of this identifier."""

    code = "UNKNOWN_JOB"


class UnknownDeliveryError(JobError):
    """There is no delivery of this identifier."""

    code = "UNKNOWN_DELIVERY"


class UnknownSourceError(JobError):
    """There is no source of this name and kind."""

    code = "UNKNOWN_SOURCE"


class IllegalTransitionError(JobError):
    """The job's state does not allow this."""

    code = "ILLEGAL_TRANSITION"


class ResultNotAvailableError(JobError):
    """The job has no such result, or not yet."""

    code = "RESULT_NOT_AVAILABLE"


class DeliveryError(ThrombolensError):
    """Results could not be handed to a destination; they are tried again."""

    code = "DELIVERY_FAILED"
    fixed_by = "operator of the destination"


class DestinationUnreachableError(DeliveryError):
    """The destination cannot be reached, or the connection to it broke."""

    code = "DESTINATION_UNREACHABLE"


class DestinationRefusedError(DeliveryError):
    """The destination answered, but did not do what was asked."""

    code = "DESTINATION_REFUSED"


class SourceError(ThrombolensError):
    """A source from which studies are fetched does not answer, or not as it should."""

    code = "SOURCE_FAILED"
    fixed_by = "operator of the source"


class JobCancelledError(ThrombolensError):
    """The caller cancelled the job while it ran."""

    code = "CANCELLED"
    fixed_by = "nobody"


class JobTimeoutError(ThrombolensError):
    """The job ran for longer than the limit in the settings."""

    code = "TIMEOUT"
    fixed_by = "operator of the service"


class LeaseLostError(ThrombolensError):
    """The lease on a job ran out, and the job went on without this worker."""

    code = "LEASE_LOST"
    fixed_by = "nobody"


class SelfCheckError(ThrombolensError):
    """An object that was written, read back, is not what was meant."""

    code = "SELF_CHECK_FAILED"
