"""Hounsfield units: windows by hand, files that the libraries themselves wrote."""

import builtins

import hypothesis.strategies as st
import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given

from tl_helpers import scans
from tl_helpers.scans import LUNG, MIDDLE, SOFT_TISSUE, neighbours_to_rgb, to_rgb

# --- Windows ------------------------------------------------------------------------


def test_to_rgb_by_hand():
    """Lung spans -1350 to 150, the middle -700 to 200, soft tissue -160 to 240."""
    hu = np.array([[-1350, -1000, -600, -160, 0, 40, 240, 3000]])
    lung = [0, 59.5, 127.5, 202.3, 229.5, 236.3, 255, 255]
    middle = [0, 0, 28.3, 153, 198.3, 209.7, 255, 255]
    soft = [0, 0, 0, 0, 102, 127.5, 255, 255]
    expected = np.stack([lung, middle, soft], axis=-1)[None]
    rgb = to_rgb(hu)
    assert rgb.dtype == np.uint8 and rgb.shape == (1, 8, 3)
    np.testing.assert_allclose(rgb, expected, atol=0.51)


def test_to_rgb_takes_a_volume_and_windows_of_ones_own():
    volume = np.arange(-1000.0, 1000, 2000 / 24).reshape(2, 3, 4)
    rgb = to_rgb(volume, [(0, 2000)] * 3)
    assert rgb.shape == (2, 3, 4, 3)
    assert (rgb[..., 0] == rgb[..., 2]).all()  # grey
    np.testing.assert_array_equal(rgb[1], to_rgb(volume, [(0, 2000)] * 3)[1])
    assert rgb[0, 0, 0, 0] == 0 and rgb[1, 0, 0, 0] == 128  # 0 HU: half of 255


@given(
    st.lists(st.integers(-2000, 3000), min_size=3, max_size=9),
    st.sampled_from([LUNG, MIDDLE, SOFT_TISSUE]),
)
def test_to_rgb_never_turns_the_order_round(values, window):
    hu = np.array([[-2000, *sorted(values)]])
    grey = to_rgb(hu, [window] * 3)[0, :, 0].astype(int)
    assert (np.diff(grey) >= 0).all()
    low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    assert not grey[hu[0] <= low].any() and (grey[hu[0] >= high] == 255).all()


def test_neighbours_to_rgb_puts_the_slice_between_its_neighbours():
    levels = [-1350, -600, 150, -1350]  # 0, 128, 255, 0 in the window of the lung
    volume = np.array(levels)[:, None, None] + np.zeros((4, 2, 2))
    rgb = neighbours_to_rgb(volume)
    assert rgb.shape == (4, 2, 2, 3) and rgb.dtype == np.uint8
    assert rgb[:, 0, 0].tolist() == [
        [0, 0, 128],
        [0, 128, 255],
        [128, 255, 0],
        [255, 0, 0],
    ]


@pytest.mark.parametrize(
    "wrong, said",
    [
        (np.full((4, 4), 200, np.uint8), "nothing below 0"),
        (np.linspace(0, 1, 16).reshape(4, 4), "nothing below 0"),
        (np.arange(16).reshape(4, 4) * 64, "nothing below 0"),  # before the intercept
        (np.linspace(-1, 1, 16).reshape(4, 4), "nothing beyond 10"),
        (np.linspace(-3, 4, 16).reshape(4, 4), "nothing beyond 10"),
        (np.linspace(-9e4, 9e4, 16).reshape(4, 4), "values beyond 32,768"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((1, 2, 4, 4), -1000), r"expected numbers \(slices, height, width\)"),
    ],
)
def test_what_cannot_be_hounsfield_units_is_refused(wrong, said):
    for show in (to_rgb, scans.check_hu):
        with pytest.raises(ValueError, match=f"Got .*{said}"):
            show(wrong)


@pytest.mark.parametrize(
    "low, high", [(-1024, 3071), (-3024, 100), (-32768, 1), (-1000, -1000)]
)
def test_what_scanners_give_is_taken(low, high):
    hu = np.array([[low, high]], np.int16)
    assert np.array_equal(scans.check_hu(hu), hu)


def test_windows_that_are_none_are_refused():
    hu = np.array([[-1000, 40]])
    with pytest.raises(ValueError, match="width -400 HU, expected one above 0"):
        to_rgb(hu, [(40, -400)] * 3)
    with pytest.raises(ValueError, match=r"expected numbers \(3, 2\)"):
        to_rgb(hu, [(40, 400)])
    with pytest.raises(ValueError, match="show it with to_rgb"):
        neighbours_to_rgb(hu)


# --- Files --------------------------------------------------------------------------

VOLUME = np.random.default_rng(0).integers(-1000, 400, (3, 4, 5))  # z, y, x
SPACING = (2.5, 0.7, 0.6)


def write_slice(path, hu, z_mm, **changed):
    """Write a CT slice as scanners do: unsigned, HU = 2 * stored - 1024."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = pydicom.dataset.FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    stored = ((hu + 1024) // 2).astype(np.uint16)
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": "1.2.3",
        "Modality": "CT",
        "Rows": hu.shape[0],
        "Columns": hu.shape[1],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10, -20, z_mm],
        "PixelSpacing": [SPACING[1], SPACING[2]],
        "SliceThickness": 3,
        "RescaleSlope": 2,
        "RescaleIntercept": -1024,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    for name, value in (values | changed).items():
        if value is not None:
            setattr(data, name, value)
    data.PixelData = stored.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def series(tmp_path):
    """Three slices whose names stand in another order than they do."""
    volume = VOLUME // 2 * 2
    folder = tmp_path / "series"
    folder.mkdir()
    for name, z in {"a": 2, "b": 0, "c": 1}.items():
        write_slice(folder / name, volume[z], -50 + SPACING[0] * z)
    return folder, volume


def test_read_dicom_gives_hounsfield_units_in_order(series):
    folder, volume = series
    scan = scans.read_dicom(folder)
    assert scan.hu.dtype == np.int16 and np.array_equal(scan.hu, volume)
    assert scan.spacing_mm == pytest.approx(SPACING)
    again = scans.read_dicom([folder / name for name in "cab"])
    assert np.array_equal(again.hu, volume)


def test_read_dicom_of_one_slice_knows_its_thickness(series):
    scan = scans.read_dicom(series[0] / "b")
    assert np.array_equal(scan.hu, series[1][:1]) and scan.spacing_mm[0] == 3


def test_read_dicom_tells_what_it_leaves_out(series):
    (series[0] / "notes.xml").write_text("<LidcReadMessage/>")
    (series[0] / ".hidden").write_text("x")
    with pytest.warns(UserWarning, match="1 files .*no DICOM, such as notes.xml"):
        assert scans.read_dicom(series[0]).hu.shape == (3, 4, 5)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"SeriesInstanceUID": "9.9"}, "2 different values of SeriesInstanceUID"),
        ({"RescaleIntercept": None}, "d without RescaleIntercept, expected a slice"),
        ({"ImagePositionPatient": [-10, -20, -45]}, "slices at -45 and -45 mm"),
        (
            {"ImagePositionPatient": [-10, -20, -40]},
            "at -45 and -40 mm, expected them 2.5",
        ),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "ImageOrientationPatient"),
    ],
)
def test_read_dicom_refuses_what_is_no_stack(series, changed, said):
    place = {"ImagePositionPatient": [-10, -20, -42.5]}
    write_slice(series[0] / "d", series[1][0], 0, **place | changed)
    with pytest.raises(ValueError, match=said):
        scans.read_dicom(series[0])


def test_read_dicom_refuses_values_before_the_intercept(series):
    for name in "abc":
        path = series[0] / name
        data = pydicom.dcmread(path)
        data.RescaleIntercept, data.RescaleSlope = 0, 1
        data.save_as(path)
    with pytest.raises(ValueError, match="nothing below 0.*expected Hounsfield"):
        scans.read_dicom(series[0])


def test_read_dicom_names_a_file_that_is_cut_off(series):
    path = series[0] / "c"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="c, whose pixels cannot be decoded"):
        scans.read_dicom(series[0])


def test_read_dicom_wants_a_folder_with_slices(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there, expected a scan"):
        scans.read_dicom(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no DICOM file in"):
        scans.read_dicom(tmp_path)


def nifti(path, volume, flips=(-1, -1, 1)):
    """Write a volume (z, y, x) from the feet, the front and the right, with steps."""
    affine = np.diag([*np.array(flips) * SPACING[::-1], 1])
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0).astype(np.int16), affine)
    nibabel.save(image, path)
    return path


def test_read_nifti_comes_out_as_the_same_dicom(series, tmp_path):
    """DICOM counts to the left and the back, NIfTI to the right and the front."""
    scan = scans.read_nifti(nifti(tmp_path / "scan.nii.gz", series[1]))
    other = scans.read_dicom(series[0])
    assert scan.hu.dtype == np.int16 and np.array_equal(scan.hu, other.hu)
    assert scan.spacing_mm == pytest.approx(other.spacing_mm)


def test_read_nifti_turns_a_volume_that_lies_otherwise(tmp_path):
    path = nifti(tmp_path / "scan.nii", VOLUME[:, ::-1, ::-1], flips=(1, 1, 1))
    assert np.array_equal(scans.read_nifti(path).hu, VOLUME)


def test_read_nifti_applies_slope_and_intercept(tmp_path):
    image = nibabel.Nifti1Image(
        np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)
    )
    image.header.set_slope_inter(10, -1000)
    nibabel.save(image, tmp_path / "scan.nii")
    hu = scans.read_nifti(tmp_path / "scan.nii").hu
    assert sorted(hu.ravel()) == list(range(-1000, -760, 10))


def test_read_nifti_refuses_what_is_no_scan(tmp_path):
    with pytest.raises(FileNotFoundError, match="scan.nii, which is not there"):
        scans.read_nifti(tmp_path / "scan.nii")
    (tmp_path / "text.nii").write_text("no volume")
    with pytest.raises(ValueError, match="text.nii, which cannot be read"):
        scans.read_nifti(tmp_path / "text.nii")
    mask = nifti(tmp_path / "mask.nii", VOLUME > 0)
    with pytest.raises(ValueError, match="nothing below 0.*expected Hounsfield"):
        scans.read_nifti(mask)
    series = nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.int16), np.eye(4))
    nibabel.save(series, tmp_path / "series.nii")
    with pytest.raises(ValueError, match=r"\(2, 2, 2, 3\), expected one volume"):
        scans.read_nifti(tmp_path / "series.nii")


@pytest.mark.parametrize("name", ["pydicom", "nibabel"])
def test_a_missing_library_is_named_with_its_extra(name, monkeypatch, tmp_path):
    ordinary = builtins.__import__

    def without(wanted, *given, **named):
        if wanted.partition(".")[0] == name:
            raise ImportError(f"No module named {name!r}")
        return ordinary(wanted, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    read = {"pydicom": scans.read_dicom, "nibabel": scans.read_nifti}[name]
    with pytest.raises(
        ImportError, match=rf"no {name}.*pip install 'tl-helpers\[scans"
    ):
        read(tmp_path)
