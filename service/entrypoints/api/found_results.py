"""Where a result file of a job lies, or why there is none."""

from pathlib import Path

from service.bootstrap.gateway import Gateway
from service.domain.errors import ResultNotAvailableError
from service.domain.finding import StudyResult
from service.domain.job import Job
from service.domain.result_file import ResultFile


def path_of(gateway: Gateway, job_id: str, file: ResultFile) -> Path:
    """Return the path of a result file.

    Raises
    ------
    ResultNotAvailableError
        If the job has none, with the reason.
    """
    job = gateway.database.get(job_id)
    if job.outcome is not None and job.results_lease is not None and file in job.outcome.files:
        path = gateway.folders.results(job.job_id, job.results_lease) / file
        if path.is_file():
            return path
    raise ResultNotAvailableError(f"there is no {file.link}: {_why_not(job, file)}")


def _why_not(job: Job, file: ResultFile) -> str:
    if job.outcome is None:
        return f"the job is {job.state}"
    if file in job.outcome.files:
        return "its file was deleted"
    if job.outcome.result == StudyResult.INSUFFICIENT_INPUT:
        return "the study could not be analysed, its report says why"
    if file is ResultFile.SEGMENTATION and job.outcome.result == StudyResult.NO_THROMBUS_FOUND:
        return "no thrombus was found, and an empty one is never written"
    if file is ResultFile.KEY_IMAGE:
        return "THROMBOLENS_KEY_IMAGE was not set when the study was analysed"
    return "the analysis did not write it"
