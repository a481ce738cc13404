"""Peak memory of a few training steps with LoRA, or of all weights; prints it as JSON.

    python benchmarks/ratios/lora_memory.py embedded answers lora full

Runs one fresh interpreter for each way. This script itself imports nothing heavy,
because on Linux a child's peak starts at the size of its parent.
"""

import json
import resource
import subprocess
import sys

NUM_STEPS = 4


def peak(name, way):
    """Train, or only answer, as often as `NUM_STEPS` says.

    Args:
        name: str, of a backbone.
        way: "answers", "lora" or "full".

    Returns:
        int: the most bytes of memory that this process ever held.
    """
    from combining import batch, made

    model = made(name, "lora" if way == "lora" else "full")
    images, labels = batch(name)
    for _ in range(NUM_STEPS):
        if way == "answers":
            model.predict_on_batch(images)
        else:
            model.train_on_batch(images, labels)
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else 1024 * found


def measure(name, ways):
    """Measure each way in a process of its own.

    Args:
        name: str, of a backbone.
        ways: list of str, as for `peak`.

    Returns:
        list of int: peak bytes, one a way.
    """
    command = [sys.executable, __file__, "--child", name]
    outputs = [subprocess.check_output([*command, way]) for way in ways]
    return [int(output.splitlines()[-1]) for output in outputs]


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        print(peak(*sys.argv[2:]))
    else:
        print(json.dumps(measure(sys.argv[1], sys.argv[2:])))
