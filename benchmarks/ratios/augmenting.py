"""Is augmentation what training waits for? Every policy against a training step."""

from functools import cache
from types import SimpleNamespace

from rows import compare, interleave

BATCH_SIZE = 20
NUM_BATCHES = 20
NUM_ROUNDS = 5
OVERHEAD_POLICY = "flip_crop"


def measure_augmentation():
    """Compare images/s of each policy alone with those of a bare training step."""
    from tl_helpers import augmentation

    def go_through(name):
        data = _batches(augmentation.policy(name, _world().images))
        return lambda: sum(len(labels) for _, labels in data)

    policies = [
        name for name in augmentation.names() if name not in ("none", "one_hot")
    ]
    tasks = {name: go_through(name) for name in policies}
    tasks["training"] = lambda: _fit(_world().model, _world().plain)
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"images": BATCH_SIZE * NUM_BATCHES, "training": spent["training"]}
    return [
        compare(
            f"images/s: {name} alone / training step of the embedded backbone",
            spent["training"],
            spent[name],
            1,
            raw=raw | {name: spent[name]},
        )
        for name in policies
    ]


def measure_augmented_fit():
    """Compare a fit with augmentation with the same fit without."""
    from tl_helpers import augmentation

    world = _world()
    augmented = _batches(augmentation.policy(OVERHEAD_POLICY, world.images))
    tasks = {
        "fit": lambda: _fit(world.model, world.plain),
        f"fit with {OVERHEAD_POLICY}": lambda: _fit(world.model, augmented),
    }
    spent = interleave(tasks, NUM_ROUNDS)
    plain, with_policy = spent.values()
    name = f"s: fit with {OVERHEAD_POLICY} / fit without"
    return [compare(name, with_policy, plain, None, "at most", spent)]


@cache
def _world():
    """Images, their plain batches, and the embedded backbone with all of it thawed."""
    import keras

    from tl_helpers import backbones, datasets

    images = datasets.load("solids")[: BATCH_SIZE * NUM_BATCHES]
    backbone = backbones.load("embedded")
    backbone.network.trainable = True
    head = keras.layers.Dense(len(images.class_names))
    model = keras.Sequential([backbone.extractor(), head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    plain = images.batches(BATCH_SIZE)
    return SimpleNamespace(images=images, model=model, plain=plain)


def _batches(policy):
    return _world().images.batches(BATCH_SIZE, augment=policy)


def _fit(model, data):
    model.fit(data, verbose=0)
