"""Cases and probability maps whose right measurements are known, for tests of the evaluation."""

from collections.abc import Callable

import numpy as np

from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Float32, Prediction
from training.dataset import PreparedCase
from training.evaluate import Source
from training.metrics import SIMULATED, VISIBLE, Agreement, CaseResult, Subject
from training.simulate.grids import axial_grid

GRID = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (8, 32, 32))
SPEC = ModelSpec(
    name="test",
    version="0",
    sha256="0" * 64,
    input=InputSpec(),
    state_channels=1,
    threshold=0.5,
    min_volume_mm3=5.0,
    intended_use="tests",
    training_data="none",
)
Box = tuple[slice, slice, slice]
CLOT: Box = (slice(3, 5), slice(10, 14), slice(20, 24))
SHIFTED: Box = (slice(3, 5), slice(10, 14), slice(22, 26))
SECOND: Box = (slice(6, 8), slice(24, 28), slice(4, 8))
ELSEWHERE: Box = (slice(0, 2), slice(0, 4), slice(0, 4))


def case(
    *clots: Box,
    presence: tuple[int, ...] = (1,) * 6,
    site: str = "A",
    seed: int = 1,
    **more: object,
) -> PreparedCase:
    """Return a case with these clots; the lumen is the first slice of each."""
    target, lumen = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    for box in clots:
        target[box] = True
        lumen[(slice(box[0].start, box[0].start + 1), *box[1:])] = True
    flags = np.array(presence, np.float32)
    sequences = np.ones((8, 6, 32, 32), np.float32) * flags[:, None, None]
    values = NetworkInput(sequences, flags, GRID, GRID, (14.0, 0.0, 0.0))
    return PreparedCase(
        values, target, lumen, {"simulator": "test", "seed": seed, "site": site, **more}
    )


def subject(*clots: Box) -> Subject:
    """Return a case with these clots, ready to be measured."""
    return Subject.of(case(*clots), SPEC, "cohort")


def probability(*boxes: Box, values: tuple[float, ...] = ()) -> Volume:
    """Return a map with one value in each box, 0.9 if not given, and 0 elsewhere."""
    voxels = np.zeros(GRID.shape, np.float32)
    for box, value in zip(boxes, values or (0.9,) * len(boxes), strict=True):
        voxels[box] = value
    return Volume(voxels, GRID)


def result(
    *,
    scores: tuple[float, ...],
    hits: tuple[bool, ...],
    clot_scores: tuple[float, ...],
    seed: int = 1,
) -> CaseResult:
    """Return a result of which only scores and what they hit is told."""
    agreement = Agreement(
        with_clot=bool(clot_scores),
        found=any(hits),
        touched=hits[:1] == (True,),
        overlapped=False,
        centred=False,
        iou=None,
        centre_mm=None,
        dice=0.0,
        hits=hits,
        false_positives=hits.count(False),
        clot_scores=clot_scores,
        wrong_regions=tuple(score for score, hit in zip(scores, hits, strict=True) if not hit),
        clot_regions=clot_scores,
        label_mm3=0.0,
        volume_error_mm3=0.0,
        volume_error_relative=None,
        hd95_mm=None,
        length_error_mm=None,
    )
    return CaseResult(
        seed=seed,
        site="A",
        cohort="cohort",
        data=SIMULATED,
        occlusion="M1",
        visibility=VISIBLE,
        sequences="SUSC",
        missing=5,
        score=max(scores, default=0.0),
        scores=scores,
        target=agreement,
        lumen=agreement,
    )


class SeesOnSusceptibility:
    """Finds the clot if the first sequence is there, and only then."""

    def predict(
        self, sequences: Float32, presence: Float32, forward_state: Float32, backward_state: Float32
    ) -> Prediction:
        slices, _, rows, columns = sequences.shape
        found = np.zeros((slices, rows, columns), np.float32)
        if presence[list(Role).index(Role.SUSC)]:
            found[CLOT] = 0.9
        return Prediction(found, forward_state, backward_state)


def sources_for(*cases: PreparedCase) -> list[Source]:
    """Return cases as a cohort has them."""

    def reading(prepared: PreparedCase) -> Callable[[], PreparedCase]:
        return lambda: prepared

    return [Source("cohort", reading(prepared)) for prepared in cases]


COHORT = sources_for(
    case(
        CLOT,
        seed=1,
        patient={"clot": {"site": "M1"}},
        examination={"lacking": ["SUSC", "TOF"]},
    ),
    case(CLOT, seed=2, site="B", presence=(1, 1, 1, 0, 0, 0), examination={"lacking": []}),
    case(seed=3, site="B", examination={"lacking": []}),
)
