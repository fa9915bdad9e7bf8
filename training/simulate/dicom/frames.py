"""Functional groups of enhanced MR images (PS3.3 C.7.6.16.2 and C.8.13.5)."""

from typing import Any

from pydicom.dataset import Dataset

from training.simulate.dicom.modules import (
    STUDY_DATE,
    Study,
    code,
    decimal,
    item,
    measures,
    orientation,
    position,
    rescaling,
    window,
)
from training.simulate.dicom.series import Part, Series
from training.simulate.exported import Image
from training.simulate.tissue import GAMMA_BAR_MHZ_PER_T

# Acquisition contrast (PS3.3 C.8.13.3.1.4).
_CONTRAST: dict[Image, str] = {
    Image.LOCALIZER: "UNKNOWN",
    Image.B0: "DIFFUSION",
    Image.TRACE: "DIFFUSION",
    Image.ADC: "DIFFUSION",
    Image.SWI: "T2_STAR",
    Image.SWI_PHASE: "T2_STAR",
    Image.T2STAR: "T2_STAR",
    Image.T2STAR_PHASE: "T2_STAR",
    Image.FLAIR: "FLUID_ATTENUATED",
    Image.TOF: "TOF",
}
_BRAIN = ("12738006", "SCT", "Brain")


def frame_type(part: Part) -> dict[str, Any]:
    """Return the MR Image Frame Type macro (PS3.3 C.8.13.5.1)."""
    return {
        "FrameType": list(part.row.image_type),
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ComplexImageComponent": "PHASE" if part.exported.image.is_phase else "MAGNITUDE",
        "AcquisitionContrast": _CONTRAST[part.exported.image],
    }


def shared(part: Part) -> Dataset:
    """Return the groups that hold for all frames of a series."""
    return item(
        FrameAnatomySequence=[
            item(AnatomicRegionSequence=[code(*_BRAIN)], FrameLaterality="U"),
        ],
        MRTimingAndRelatedParametersSequence=[_timing(part)],
        MRFOVGeometrySequence=[_field_of_view(part)],
        MRModifierSequence=[_modifier(part)],
        MRImagingModifierSequence=[_imaging_modifier(part)],
        MRReceiveCoilSequence=[
            item(
                ReceiveCoilName="Head",
                ReceiveCoilManufacturerName="",
                ReceiveCoilType="VOLUME",
                QuadratureReceiveCoil="NO",
            )
        ],
        MRTransmitCoilSequence=[
            item(
                TransmitCoilName="Body",
                TransmitCoilManufacturerName="",
                TransmitCoilType="BODY",
            )
        ],
    )


def _timing(part: Part) -> Dataset:
    technique = part.exported.technique
    planar = part.exported.image.is_diffusion
    spin = part.exported.image is Image.FLAIR
    return item(
        RepetitionTime=decimal(technique.repetition_ms),
        FlipAngle=decimal(technique.flip_deg),
        EchoTrainLength=technique.train,
        RFEchoTrainLength=technique.train if spin else int(planar),
        GradientEchoTrainLength=0 if spin else technique.train,
        GradientOutputType="DB_DT",
        GradientOutput=0.0,
        SpecificAbsorptionRateSequence=[
            item(SpecificAbsorptionRateDefinition="IEC_HEAD", SpecificAbsorptionRateValue=0.0)
        ],
        OperatingModeSequence=[
            item(OperatingModeType=kind, OperatingMode="IEC_NORMAL")
            for kind in ("STATIC FIELD", "RF", "GRADIENT")
        ],
    )


def _field_of_view(part: Part) -> Dataset:
    rows, columns = part.exported.stored.voxels.shape[1:]
    planar = part.exported.image.is_diffusion
    group = item(
        InPlanePhaseEncodingDirection="COLUMN" if planar else "ROW",
        MRAcquisitionFrequencyEncodingSteps=columns if planar else rows,
        MRAcquisitionPhaseEncodingStepsInPlane=rows if planar else columns,
        PercentSampling="100",
        PercentPhaseFieldOfView="100",
    )
    if part.exported.technique.volumetric:
        group.MRAcquisitionPhaseEncodingStepsOutOfPlane = len(part.exported.stored.voxels)
    return group


def _modifier(part: Part) -> Dataset:
    inversion = part.exported.technique.inversion_ms
    image = part.exported.image
    group = item(
        InversionRecovery="YES" if inversion > 0 else "NO",
        FlowCompensation="NONE",
        Spoiling="NONE" if image.is_diffusion or image is Image.FLAIR else "RF",
        T2Preparation="NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if inversion > 0:
        group.InversionTimes = inversion
    return group


def _imaging_modifier(part: Part) -> Dataset:
    technique = part.exported.technique
    return item(
        MagnetizationTransfer="NONE",
        BloodSignalNulling="NO",
        Tagging="NONE",
        TransmitterFrequency=round(technique.field_t * GAMMA_BAR_MHZ_PER_T, 6),
        PixelBandwidth=decimal(technique.bandwidth_hz),
    )


def per_frame(study: Study, series: Series) -> list[Dataset]:
    """Return the groups of every frame, in the order of the pixel data."""
    frames = []
    for part, (stack, *others) in zip(series.parts, _dimension_indices(series), strict=True):
        levels = window(part.exported.stored)
        for index in range(len(part.exported.stored.voxels)):
            frame = _frame(series, part, index)
            frame.FrameVOILUTSequence = [item(levels.items())]
            content = frame.FrameContentSequence[0]
            content.StackID = str(stack)
            content.DimensionIndexValues = [stack, index + 1, *others]
            for element in study.maker.details(part.exported, part.sequence).private:
                element.add_to(frame)
            frames.append(frame)
    return frames


def dimension_keywords(series: Series) -> list[str]:
    """Return what tells the frames of a series apart."""
    return ["StackID", "InStackPositionNumber", *(name for name, _ in _differences(series))]


def _dimension_indices(series: Series) -> list[list[int]]:
    """Return stack and further indices, but not that of the slice, of every volume."""
    axes = [part.exported.stored.geometry.axes.round(6).tolist() for part in series.parts]
    indices = [[axes.index(own) + 1] for own in axes]
    for _, values in _differences(series):
        ranks = sorted(set(values))
        for own, value in zip(indices, values, strict=True):
            own.append(ranks.index(value) + 1)
    return indices


def _differences(series: Series) -> list[tuple[str, list[float]]]:
    """Return what differs between volumes of one orientation, with the value of each volume."""
    images = [part.exported for part in series.parts]
    known = [
        ("DiffusionBValue", [each.technique.b_value or 0.0 for each in images]),
        ("ComplexImageComponent", [float(each.image.is_phase) for each in images]),
    ]
    return [(keyword, values) for keyword, values in known if len(set(values)) > 1]


def _frame(series: Series, part: Part, index: int) -> Dataset:
    stored, technique = part.exported.stored, part.exported.technique
    time = f"{STUDY_DATE}{series.time}"
    frame = item(
        MRImageFrameTypeSequence=[item(frame_type(part).items())],
        FrameContentSequence=[
            item(
                FrameAcquisitionDateTime=time,
                FrameReferenceDateTime=time,
                FrameAcquisitionDuration=120_000.0,
                InStackPositionNumber=index + 1,
                FrameComments="Simulated, no patient",
            )
        ],
        PixelMeasuresSequence=[item(measures(stored.geometry, technique).items())],
        PlanePositionSequence=[item(ImagePositionPatient=position(stored.geometry, index))],
        PlaneOrientationSequence=[item(ImageOrientationPatient=orientation(stored.geometry))],
        PixelValueTransformationSequence=[item(rescaling(stored, "US").items())],
        MREchoSequence=[item(EffectiveEchoTime=technique.echo_ms)],
        MRAveragesSequence=[item(NumberOfAverages="1")],
    )
    if part.exported.image.is_diffusion:
        frame.MRDiffusionSequence = [_diffusion(part)]
    return frame


def _diffusion(part: Part) -> Dataset:
    """Return the MR Diffusion macro (PS3.3 C.8.13.5.9); a map has no b-value of its own."""
    b_value = part.exported.technique.b_value
    group = item(DiffusionDirectionality="NONE" if b_value == 0 else "ISOTROPIC")
    if b_value is not None:
        group.DiffusionBValue = b_value
    return group
