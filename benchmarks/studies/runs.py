"""Results of long runs, one file each, so that a killed command goes on behind them."""

import argparse
import time
from pathlib import Path

import numpy as np

from tl_helpers.storage import Kept

BUILD = Path(__file__).resolve().parents[2] / "build"


def study(name, **knobs):
    """Return a study's results in build/; those of other knobs are refused.

    Args:
        name: str, the study's folder.
        **knobs: JSON values on which its results depend.

    Returns:
        Kept.
    """
    return Kept(BUILD / name, knobs)


def run_once(results, name, seed, compute):
    """Return a run's result, from its file or from running it now.

    Args:
        results: Kept.
        name: str, what is run.
        seed: int.
        compute: callable(seed) -> dict of JSON values.

    Returns:
        dict with "name", "seed", "seconds" and what `compute` gave.
    """
    if results.get((name, seed)) is None:
        print(f"--- {name}, seed {seed}", flush=True)
        start_s = time.perf_counter()
        result = compute(seed)
        seconds = time.perf_counter() - start_s
        result = {"name": name, "seed": seed, "seconds": seconds, **result}
        results.put((name, seed), result)
    return results.get((name, seed))


def passes(num_images, num_rows, rng):
    """Draw which images come in training: whole passes, each in an order of its own.

    Args:
        num_images: int >= 1.
        num_rows: int, drawn in all; the last pass ends there.
        rng: numpy Generator.

    Returns:
        int (num_rows,).
    """
    orders = [rng.permutation(num_images) for _ in range(-(-num_rows // num_images))]
    return np.concatenate(orders)[:num_rows]


def seeds_asked(description, default=(0, 1, 2)):
    """Return the seeds that the command line names; with --table, which prints, none.

    Args:
        description: str, shown by --help.
        default: sequence of int.

    Returns:
        sequence of int.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, nargs="+", default=default)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    return [] if arguments.table else arguments.seeds


def points(difference):
    """Return '+3.1 (+1.2 to +5.0)': a Difference for a column of points."""
    return str(difference).replace(" points", "")
