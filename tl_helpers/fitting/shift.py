"""Where the model will be used: how far that is from home, and what to do about it."""

import os
from pathlib import Path

import keras
import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from tl_helpers.datasets.files import ImageFiles, survey, walk
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.domains import adapt_batch_norm, proxy_a_distance
from tl_helpers.domains.batch_norm import batch_norms
from tl_helpers.inputs import check_kind
from tl_helpers.training import predict_logits

MIN_TO_TELL = 20  # unlabelled images
MIN_TO_ADAPT = 100  # whose statistics are steady enough
MIN_SPREAD = 0.7  # of the classes that the answers use in effect, see docs/results.md
NOISE = 2 * np.sqrt(2)  # over sqrt(n): what proxy_a_distance reaches by chance


def load_unlabelled(folder, size_px):
    """Load every readable image below a folder; broken files are counted.

    Args:
        folder: str or Path; sub-folders are searched, their names do not matter.
        size_px: int >= 1.

    Returns:
        (ImageSet of one class, list of files that cannot be read).

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no readable image in it.
    """
    check_kind(str, os.PathLike, folder=folder)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder}, which is no folder, expected one with images from where "
            "the model will be used; check the path."
        )
    paths = sorted(walk(str(folder)))
    broken, levels = survey(paths, size_px)
    good = [path for path, level in levels.items() if level.kind != "unknown"]
    if not good:
        raise ValueError(
            f"Got {folder} without a readable image, expected some; check the path."
        )
    provenance = Provenance(folder.name, str(folder), "the owner's", "none")
    labels = np.zeros(len(good), np.int64)
    images = ImageSet(ImageFiles(good, size_px), labels, ("unlabelled",), provenance)
    return images, [os.path.relpath(path, folder) for path in broken]


def measure_shift(model, train, unlabelled, temperature=1.0, seed=0):
    """Measure how far unlabelled images lie from those to learn from; adapt if it pays.

    BatchNormalization is adapted where all of this holds: the shift is larger than
    chance makes it; the model has such layers; there are a hundred unlabelled images;
    before and after, the answers spread over at least 70% of the classes in effect, as
    exp(entropy of their shares) counts them (if only a few occur, AdaBN does harm,
    chapter 07); and afterwards the distance is smaller by more than chance.

    Args:
        model: Classifier; it stays as it is.
        train: ImageSet to learn from, at the model's size.
        unlabelled: ImageSet, whose labels are not looked at.
        temperature: float > 0, by which logits are divided.
        seed: int.

    Returns:
        (found, adapted): a dict of what was measured, with "reason" for the decision,
        one of "few", "none", "no layers", "too few to adapt", "few classes", "no
        gain" and "adapted"; and the adapted Classifier, or None.

    Source: AdaBN, Li et al. 2016 (arXiv:1603.04779).
    """
    found = {"num": len(unlabelled), "distance": None, "noise": None}
    if len(unlabelled) < MIN_TO_TELL:
        return found | {"reason": "few"}, None
    home = predict_logits(model.extractor(), train)
    before = _look(model, home, unlabelled, temperature, seed)
    noise = float(NOISE / np.sqrt(min(len(train), len(unlabelled))))
    found |= {"noise": noise, **before}
    if before["distance"] <= noise:
        return found | {"reason": "none"}, None
    if not batch_norms(model):
        return found | {"reason": "no layers"}, None
    if len(unlabelled) < MIN_TO_ADAPT:
        return found | {"reason": "too few to adapt"}, None
    adapted = adapt_batch_norm(model, unlabelled, source_images=train)
    after = _look(adapted, home, unlabelled, temperature, seed)
    found |= {f"adapted {name}": value for name, value in after.items()}
    least = MIN_SPREAD * len(train.class_names)
    if min(before["classes"], after["classes"]) < least:
        return found | {"reason": "few classes"}, None
    if after["distance"] >= before["distance"] - noise:
        return found | {"reason": "no gain"}, None
    return found | {"reason": "adapted"}, adapted


def _look(model, home, unlabelled, temperature, seed):
    """Measure distance, and how the answers to the unlabelled images spread."""
    both = keras.Model(model.input, [model.extractor().output, model.output])
    away, logits = predict_logits(both, unlabelled)
    probabilities = softmax(logits / temperature, axis=1)
    shares = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    return {
        "distance": proxy_a_distance(home, away, seed),
        "confidence": float(probabilities.max(axis=1).mean()),
        "classes": float(np.exp(entropy(shares / shares.sum()))),
        "shares": (shares / shares.sum()).tolist(),
    }
