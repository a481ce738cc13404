"""Results of long runs, one file each, so that a killed command goes on behind them."""

import json
import re
import time

from tl_helpers.storage import whole_or_nothing


def kept(folder, name, seed, compute):
    """Return a run's result, from its file or from running it now.

    Args:
        folder: Path where the files lie.
        name: str, what is run.
        seed: int.
        compute: callable(seed) -> dict of JSON values.

    Returns:
        dict with "name", "seed", "seconds" and what `compute` gave.
    """
    path = folder / f"{file_name(name)}-{seed}.json"
    if not path.exists():
        print(f"--- {name}, seed {seed}", flush=True)
        start_s = time.perf_counter()
        result = compute(seed)
        seconds = time.perf_counter() - start_s
        result = {"name": name, "seed": seed, "seconds": seconds, **result}
        with whole_or_nothing(path) as part:
            part.write_text(json.dumps(result))
    return json.loads(path.read_text())


def all_kept(folder):
    """Return the results of every finished run, by file name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def points(spread):
    """Return '+3.1 (+1.2 to +5.0)': a difference in points with its 95% interval."""
    mean, low, high = (100 * x for x in (spread.mean, spread.low, spread.high))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def file_name(name):
    """Return a name for files: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name.replace("'", "")).strip("_")
