"""The files that an analysis leaves, and under which link each is found."""

from enum import StrEnum


class ResultFile(StrEnum):
    """Name of a result file."""

    REPORT = "report.json"
    STRUCTURED_REPORT = "structured_report.dcm"
    SEGMENTATION = "segmentation.dcm"
    MASK = "mask.nii.gz"
    PREVIEW = "preview.png"
    KEY_IMAGE = "key_image.dcm"

    @property
    def link(self) -> str:
        """Its name among the links of a job, and the end of its address."""
        return self.name.lower().replace("_", "-")
