"""The colour of each finding, the same in the DICOM-SEG and in the preview."""

RGB = tuple[int, int, int]

# Far from each other and from grey, for people with colour-blindness too (Okabe and Ito 2008,
# without the black and the blues, which are lost on a dark brain).
_PALETTE: tuple[RGB, ...] = (
    (255, 82, 64),
    (240, 228, 66),
    (86, 180, 233),
    (0, 190, 140),
    (204, 121, 167),
    (230, 159, 0),
)


def colour_of(finding_number: int) -> RGB:
    """Return red, green and blue (0..255) for a finding's number, from 1; they repeat."""
    return _PALETTE[(finding_number - 1) % len(_PALETTE)]
