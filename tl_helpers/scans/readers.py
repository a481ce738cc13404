"""DICOM and NIfTI files -> a volume in Hounsfield units, with its spacing.

Both come out alike: slices (z, y, x) from the feet to the head, rows from the front to
the back, columns from the patient's right to the left, as a radiologist looks at them.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tl_helpers.inputs import check_kind
from tl_helpers.scans.windows import check_hu

UNEVEN = 0.05  # share of the spacing by which gaps between slices may differ


class Scan(NamedTuple):
    """A volume.

    Attributes:
        hu: int16 (slices, height, width), HU, rounded to whole ones.
        spacing_mm: (float, float, float), from voxel to voxel along z, y and x; NaN
            along z where there is but one slice and its file says nothing.
    """

    hu: np.ndarray
    spacing_mm: tuple


def read_dicom(source):
    """Read the slices of one CT series with `pydicom` (in the extra `scans`).

    Stored values become HU by each file's slope and intercept; slices are sorted by
    their position, never by their names.

    Args:
        source: str or Path of a folder with one series, or a list of its files. In a
            folder, files that are no DICOM are left out with a warning.

    Returns:
        Scan. Slices that are no axial ones are sorted along their normal, and their
        rows and columns stay as they are in the file.

    Raises:
        ImportError: `pydicom` is not installed.
        FileNotFoundError: no folder, or no DICOM file in it.
        ValueError: files of several series or sizes, a position twice, a gap, no
            slope and intercept, pixels that cannot be decoded, or values that are no
            HU.
    """
    pydicom = _library("pydicom")
    paths = _dicom_paths(source, pydicom)
    slices = [(path, _open_dicom(path, pydicom)) for path in paths]
    _check_series(slices)
    normal = np.cross(*np.reshape(slices[0][1].ImageOrientationPatient, (2, 3)))
    if normal[np.abs(normal).argmax()] < 0:
        normal = -normal  # from the feet to the head, whatever way the rows run
    places = [float(normal @ np.array(x.ImagePositionPatient)) for _, x in slices]
    order = np.argsort(places)
    rows_mm, columns_mm = map(float, slices[0][1].PixelSpacing)
    step_mm = _step(np.array(places)[order], slices[0][1])
    hu = np.stack([_slice_hu(*slices[i], pydicom) for i in order])
    return Scan(_whole(check_hu(hu)), (step_mm, rows_mm, columns_mm))


def read_nifti(path):
    """Read a CT volume from a NIfTI file with `nibabel` (in the extra `scans`).

    Args:
        path: str or Path of a .nii or .nii.gz file with one volume in HU.

    Returns:
        Scan, turned to the axes that are nearest to those of the patient.

    Raises:
        ImportError: `nibabel` is not installed.
        FileNotFoundError: no such file.
        ValueError: it cannot be read, holds no single volume, or no HU.
    """
    nibabel = _library("nibabel")
    path = _existing(path)
    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        values = np.asanyarray(image.dataobj)  # slope and intercept applied
    except Exception as error:  # whatever a file provokes that is no NIfTI
        raise ValueError(
            f"Got {path}, which cannot be read: {error}; expected a whole .nii or "
            ".nii.gz file; copy or download it again."
        ) from error
    if values.ndim != 3:
        raise ValueError(
            f"Got {path} of shape {values.shape}, expected one volume with 3 axes; "
            "take it out of the series first."
        )
    # from (right to left, back to front, feet to head) to the order of a Scan
    hu = values[::-1, ::-1].transpose(2, 1, 0)
    spacing = tuple(float(step) for step in image.header.get_zooms()[:3][::-1])
    return Scan(_whole(check_hu(hu)), spacing)


def _library(name):
    """Import one of the two, or say in which extra it is."""
    try:
        return __import__(name)
    except ImportError as error:
        raise ImportError(
            f"Got no {name}, expected it for reading scans; install it with "
            "pip install 'tl-helpers[scans]'."
        ) from error


def _existing(path):
    check_kind(str, Path, path=path)
    if not Path(path).exists():
        raise FileNotFoundError(
            f"Got {path}, which is not there, expected a scan; look at the spelling "
            "and the working directory."
        )
    return Path(path)


def _dicom_paths(source, pydicom):
    """List files, those of a folder by name; what is no DICOM there is told."""
    if isinstance(source, list | tuple):
        paths = [_existing(path) for path in source]
        others = []
    else:
        folder = _existing(source)
        inside = sorted(folder.iterdir()) if folder.is_dir() else [folder]
        files = [x for x in inside if x.is_file() and not x.name.startswith(".")]
        paths = [path for path in files if pydicom.misc.is_dicom(path)]
        others = [path.name for path in files if path not in paths]
    if not paths:
        raise FileNotFoundError(
            f"Got no DICOM file in {source}, expected the slices of a series; give the "
            "folder that holds the files themselves."
        )
    if others:
        warnings.warn(
            f"Got {len(others)} files in {source} that are no DICOM, such as "
            f"{others[0]}: they are left out.",
            stacklevel=3,
        )
    return paths


NEEDED = """
    SeriesInstanceUID ImageOrientationPatient ImagePositionPatient PixelSpacing
    RescaleSlope RescaleIntercept Rows Columns
""".split()


def _open_dicom(path, pydicom):
    try:
        data = pydicom.dcmread(path)
    except Exception as error:  # whatever a bad file provokes
        raise ValueError(
            f"Got {path}, which cannot be read: {error}; expected a DICOM file."
        ) from error
    lacking = [name for name in NEEDED if data.get(name) is None]
    if lacking:
        raise ValueError(
            f"Got {path} without {', '.join(lacking)}, expected a slice of a CT series "
            "that says where it lies and how its values become HU; leave other files "
            "(scouts, reports) out."
        )
    return data


def _check_series(slices):
    """Refuse files that are no single stack."""
    for name in ("SeriesInstanceUID", "Rows", "Columns", "ImageOrientationPatient"):
        values = {str(data.get(name)): path.name for path, data in slices}
        if len(values) > 1:
            one, other = list(values.items())[:2]
            raise ValueError(
                f"Got files of {len(values)} different values of {name} ({one[0]} in "
                f"{one[1]}, {other[0]} in {other[1]}), expected one series; give the "
                "files of one as a list."
            )


def _step(places, data):
    """Spacing of sorted slices in mm, or a sentence where they are not equally far."""
    if len(places) == 1:
        return float(data.get("SliceThickness") or np.nan)
    gaps = np.diff(places)
    step = float(np.median(gaps))
    uneven = np.abs(gaps - step) > UNEVEN * step
    if gaps.min() <= 0 or uneven.any():
        wrong = int(np.abs(gaps - step).argmax())
        raise ValueError(
            f"Got slices at {places[wrong]:g} and {places[wrong + 1]:g} mm, expected "
            f"them {step:g} mm apart like the others; look for a file that is missing, "
            "there twice or of another series."
        )
    return step


def _slice_hu(path, data, pydicom):
    try:
        stored = data.pixel_array
    except Exception as error:  # unknown compression, cut off, ...
        raise ValueError(
            f"Got {path}, whose pixels cannot be decoded: {error}; expected plain or "
            "known compression (pip install 'pylibjpeg[all]' knows more)."
        ) from error
    return pydicom.pixels.apply_rescale(stored, data)


def _whole(hu):
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)
