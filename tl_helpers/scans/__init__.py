"""CT scans: from files to Hounsfield units, from those to RGB for a network."""

from tl_helpers.scans.readers import Scan, read_dicom, read_nifti
from tl_helpers.scans.windows import (
    LUNG,
    MIDDLE,
    SOFT_TISSUE,
    check_hu,
    neighbours_to_rgb,
    to_rgb,
)

__all__ = [
    "LUNG",
    "MIDDLE",
    "SOFT_TISSUE",
    "Scan",
    "check_hu",
    "neighbours_to_rgb",
    "read_dicom",
    "read_nifti",
    "to_rgb",
]
