"""The objects that tell a report, written and read back."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from service.domain.identity import ResultIdentity
from service.domain.report import DetectionReport, ReportTitle
from service.domain.study import SeriesFacts, StudyFacts
from service.stages.check_key_image import check_key_image
from service.stages.check_structured_report import check_structured_report
from service.stages.write_key_image import write_key_image
from service.stages.write_structured_report import Evidence, write_structured_report


def looked_at(report: DetectionReport, facts: StudyFacts) -> list[SeriesFacts]:
    """Return the series that were used, or all with images where none could be."""
    used = {volume.series_instance_uid for volume in report.volumes if volume.role is not None}
    return [
        series
        for series in facts.series
        if series.planes and (series.series_instance_uid in used or not used)
    ]


@dataclass(frozen=True, eq=False)
class WrittenObjects:
    """Writes and checks the objects that tell a report, as part of the study of their sources.

    Raises
    ------
    SelfCheckError
        From every method, if what was written does not say what it must.
    """

    report: DetectionReport
    facts: StudyFacts
    sources: Sequence[Dataset]
    identity: ResultIdentity

    def structured_report(
        self, segmentation: Dataset | None, title: ReportTitle, predecessor: Evidence | None
    ) -> Dataset:
        """Return the structured report; its evidence are the series that were looked at."""
        evidence = [
            Evidence(series.series_instance_uid, series.sop_class_uid, uid)
            for series in looked_at(self.report, self.facts)
            for uid in dict.fromkeys(plane.sop_instance_uid for plane in series.planes)
        ]
        written = write_structured_report(
            self.report,
            segmentation,
            self.sources,
            evidence,
            self.identity,
            title,
            predecessor=predecessor,
        )
        check_structured_report(written, self.report, segmentation)
        return written

    def key_image(self, preview_png: bytes) -> Dataset:
        """Return the preview as a secondary capture."""
        written = write_key_image(preview_png, self.sources, self.identity)
        check_key_image(written, preview_png)
        return written
