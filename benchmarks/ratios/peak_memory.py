"""Peak memory of extracting features from files; prints it as JSON.

    python benchmarks/ratios/peak_memory.py 2000 20000 2000 20000

Runs one fresh interpreter for each number of images. This script itself imports
nothing heavy, because on Linux a child's peak starts at the size of its parent.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 64


def write_noise(folder, num_images):
    """Write JPEG files of random noise, half of them in each of two classes.

    Args:
        folder: Path, made where missing.
        num_images: int.

    Returns:
        list of Path, in the order of their numbers.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{row:05d}.jpg" for row in range(num_images)]
    for path in paths:
        pixels = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def extract(folder, num_images):
    """Extract the features of the first files of a folder.

    Args:
        folder: Path with the files of `write_noise`.
        num_images: int.

    Returns:
        int: the most bytes of memory that this process ever held.
    """
    from tl_helpers import backbones, features
    from tl_helpers.datasets import ImageSet, Provenance
    from tl_helpers.datasets.files import ImageFiles

    paths = sorted(entry.path for entry in os.scandir(folder))[:num_images]
    labels = np.arange(num_images) % 2
    noise = Provenance("noise", "this script", "", "")
    images = ImageSet(ImageFiles(paths, SIZE_PX), labels, ("even", "odd"), noise)
    features.extract(backbones.load("embedded"), images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measure(counts):
    """Extract from every number of images in turn, each in its own process.

    Args:
        counts: list of int.

    Returns:
        list of int: peak bytes, one for each count.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "noise"
        write_noise(folder, max(counts))
        peaks = []
        for run, count in enumerate(counts):
            cache = {"TL_CACHE_DIR": f"{scratch}/cache{run}"}
            command = [sys.executable, __file__, "--child", folder, str(count)]
            peaks.append(int(subprocess.check_output(command, env=os.environ | cache)))
        return peaks


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        print(extract(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        print(json.dumps(measure([int(count) for count in sys.argv[1:]])))
