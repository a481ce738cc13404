"""Answers that others published, to compute their scores again."""

import numpy as np

from tl_helpers.datasets.medical import read_arrays
from tl_helpers.datasets.real import locate


def load_lidc_predictions():
    """Load what three networks answered about nodules of LIDC-IDRI, fold by fold.

    They were trained and tested five-fold, three times, with the slices split in three
    ways ("arms"): by patient, at random, by nodule. The same slices are in all of them.

    Returns:
        dict, with n = 11,026 axial slices of 1,695 nodules of 740 patients:

        - patient, nodule int64 (n,); z_mm, diameter_mm, median_malignancy float32 (n,);
          n_annotators int64 (n,); representative bool (n,), the largest slice of its
          nodule; label int64 (n,), 1 where the median rating is above 3.
        - arms, architectures: tuples of str, which name the axes below.
        - fold int64 (arms, repeats, n): the fold in whose test set the slice was.
        - prob float32 (architectures, arms, repeats, n): probability of label 1, by the
          network that did not learn from this slice.
        - val bool (arms, repeats, folds, n): whether the slice was in validation.

    Raises:
        FileNotFoundError: it is in no mirror.
        ValueError: a damaged file.

    Source: Mariotto et al. 2026, *Slice-Level Data Partitioning Inflates Pulmonary
    Nodule Classification Performance* (github.com/nykemariotto/
    nodule-partition-leakage).
    """
    stored = read_arrays(locate("lidc_predictions"))
    count = len(stored["label"])
    for name in ("arms", "architectures"):
        stored[name] = tuple(stored[name].tolist())
    for name in ("patient", "nodule", "n_annotators", "label", "fold"):
        stored[name] = stored[name].astype(np.int64)
    bits = np.unpackbits(stored["val"], axis=-1)
    return stored | {"val": bits[..., :count].astype(bool)}
