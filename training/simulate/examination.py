"""A patient in one hospital's scanner: protocols drawn, slices prescribed, the field shimmed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.acquisition import Grid
from training.simulate.grids import axial_grid
from training.simulate.motion import Pose, draw_pose
from training.simulate.patient import Patient, brain_box
from training.simulate.physics import dipole_field, shim
from training.simulate.site import SEQUENCE_OF_ROLE, Scan, Site, draw_scan
from training.simulate.streams import stream
from training.simulate.tissue import AIR_PPM, TISSUES, mix

Float64 = npt.NDArray[np.float64]

# Slices follow the brain in this share of the examinations, the scanner's axes in the others.
OBLIQUE_SHARE = 0.6
PITCH_DEG = (10.0, 6.0)
ROLL_YAW_DEG = 3.0
# Around the brain: skull and scalp in plane, a little above; below, the slab begins somewhere
# around the lower end of the cerebellum.
IN_PLANE_MARGIN_MM = 17.0
ABOVE_MM = 6.0
BELOW_MM = (-4.0, 10.0)
# The object is at least this fine.
FINEST_MM = 0.5
# Margin of zeros around the head for the field, as a share of its size, and how far the neck is
# continued below the head's grid: its cut would else be an interface with air.
FIELD_MARGIN = 0.25
NECK_MM = 40


@dataclass(frozen=True, eq=False)
class Examination:
    """What is drawn of one examination before any sequence is simulated.

    Attributes
    ----------
    turn : float64 array (3, 3)
        Rotates the simulation frame, in which all slices are axial, into the patient's LPS frame,
        whose z axis is the main field.
    bottom_mm : float
        Where the lowest slice begins, above the lowest point of the brain.
    scans : mapping of Role to Scan
        PHASE and SUSC share one, DWI and ADC share one.
    poses : mapping of Role to Pose
        Where the patient lies; SUSC is the reference.
    field_ppm : float32 tensor (slice, row, column)
        Shimmed relative field of tissue and air on the head's grid, without vessels.
    lacking : frozenset of Role
        What the site's archive would lack of this patient.
    missing : frozenset of Role
        What is not simulated: the same, or nothing if all sequences were asked for.
    """

    patient: Patient
    site: Site
    turn: Float64
    bottom_mm: float
    scans: Mapping[Role, Scan]
    poses: Mapping[Role, Pose]
    field_ppm: torch.Tensor
    lacking: frozenset[Role]
    missing: frozenset[Role]
    device: torch.device

    @property
    def b0_direction(self) -> Float64:
        """Unit vector of the main field along (slice, row, column) of the simulation frame."""
        return np.asarray(self.turn[2, ::-1])

    def stream(self, *words: str) -> np.random.Generator:
        """Return random numbers of this patient at this site."""
        return stream(self.patient.seed, self.site.name, *words)

    def grid(
        self,
        role: Role,
        *,
        finest_mm: float = FINEST_MM,
        slab: tuple[float, float] | None = None,
    ) -> Grid:
        """Lay the slices of a sequence over the brain, centred on it.

        Parameters
        ----------
        finest_mm : float
            The object is at least this fine.
        slab : (float, float), optional
            Lower end and height in mm; the whole brain if not given.
        """
        scan = self.scans[role]
        low, high = brain_box(self.patient.head)
        bottom = low[2] + self.bottom_mm
        height = high[2] + ABOVE_MM - bottom
        bottom, height = (bottom, height) if slab is None else slab
        extent = np.array(
            [
                height,
                high[1] - low[1] + 2 * IN_PLANE_MARGIN_MM,
                high[0] - low[0] + 2 * IN_PLANE_MARGIN_MM,
            ]
        )
        return covering((low + high) / 2, bottom, extent, scan, finest_mm)

    def stored(self, voxels: torch.Tensor, geometry: Geometry) -> Volume:
        """Return an image of the simulation frame in the patient's frame."""
        return Volume(voxels.cpu().numpy(), self.in_patient_frame(geometry))

    def in_patient_frame(self, geometry: Geometry) -> Geometry:
        """Turn a grid of the simulation frame into the patient's frame."""
        return Geometry.from_components(
            origin=self.turn @ geometry.origin,
            axes=geometry.axes @ self.turn.T,
            spacing=geometry.spacing,
            shape=geometry.shape,
        )


def covering(centre: Float64, bottom: float, extent: Float64, scan: Scan, finest_mm: float) -> Grid:
    """Return a grid of a scan over a box: ``extent`` mm along (slice, row, column)."""
    voxel = np.array(scan.voxel_mm)
    counts = np.maximum(1, np.ceil(extent / voxel)).astype(int)
    # Matrices are even and quick to transform, as scanners' are: up to some per cent larger.
    counts[1:] = [2 * next_fast_len(int(-(-n // 2)), real=True) for n in counts[1:]]
    in_plane = centre - (counts[::-1] - 1) * voxel[::-1] / 2
    origin = np.array([in_plane[0], in_plane[1], bottom + voxel[0] / 2])
    factor = np.maximum(1, np.ceil(voxel / finest_mm - 1e-6)).astype(int)
    volumetric = scan.protocol.volumetric
    return Grid(
        geometry=axial_grid(origin, scan.voxel_mm, tuple(int(n) for n in counts)),
        factor=(int(factor[0]), int(factor[1]), int(factor[2])),
        thickness_share=None if volumetric else scan.thickness_mm / voxel[0],
    )


def draw_examination(
    patient: Patient, site: Site, *, complete: bool, device: torch.device
) -> Examination:
    """Draw an examination of a patient at a site.

    Parameters
    ----------
    complete : bool
        Nothing is missing.
    """
    rng = stream(patient.seed, site.name, "examination")
    turn = _draw_turn(rng)
    scans = {
        role: draw_scan(site.protocol(role), stream(patient.seed, site.name, "scan", sequence))
        for role, sequence in SEQUENCE_OF_ROLE.items()
    }
    centre = patient.head.place(np.array([0.0, 18.0, 8.0]))
    poses = {
        role: draw_pose(centre, stream(patient.seed, site.name, "pose", sequence))
        for role, sequence in SEQUENCE_OF_ROLE.items()
        if sequence != "susceptibility"
    }
    still = Pose(np.zeros(3), np.zeros(3), centre)
    drawn = {role for role in Role if rng.random() < site.missing.get(role, 0.0)}
    lacking = _possible(frozenset(drawn))
    return Examination(
        patient=patient,
        site=site,
        turn=turn,
        bottom_mm=float(rng.uniform(*BELOW_MM)),
        scans=scans,
        poses={Role.SUSC: still, Role.PHASE: still, **poses},
        field_ppm=_shimmed_field(patient, turn, device),
        lacking=lacking,
        missing=frozenset() if complete else lacking,
        device=device,
    )


def _possible(lacking: frozenset[Role]) -> frozenset[Role]:
    """Phase comes with its magnitude, and one of magnitude and diffusion is always there."""
    if Role.SUSC not in lacking:
        return lacking
    return (lacking | {Role.PHASE}) - {Role.DWI}


def _draw_turn(rng: np.random.Generator) -> Float64:
    pitch = rng.normal(*PITCH_DEG)
    roll, yaw = rng.normal(0, ROLL_YAW_DEG, 2)
    if rng.random() >= OBLIQUE_SHARE:
        return np.eye(3)
    return np.asarray(Rotation.from_euler("xyz", [pitch, roll, yaw], degrees=True).as_matrix())


def _shimmed_field(patient: Patient, turn: Float64, device: torch.device) -> torch.Tensor:
    """Field of tissue, bone, iron and air on the head's grid, shimmed over the brain."""
    head = patient.head
    ppm = mix(head.tissues, lambda tissue: tissue.ppm) + head.iron_ppm
    air = 1 - sum(head.tissues[name] for name in TISSUES)
    ppm += np.float32(AIR_PPM) * np.clip(air, 0, 1)
    # Relative to the air around, so that the zeros added as a margin are air as well.
    body = np.pad(ppm - np.float32(AIR_PPM), ((NECK_MM, 0), (0, 0), (0, 0)), mode="edge")
    chi = torch.from_numpy(body).to(device)
    field = dipole_field(chi, head.geometry.spacing, turn[2, ::-1], margin=FIELD_MARGIN)
    return shim(field[NECK_MM:], torch.from_numpy(head.surface_mm).to(device) < 0)
