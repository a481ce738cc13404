"""Images and networks of the study of famous claims: what learns, and from where."""

from typing import NamedTuple

import keras
import numpy as np
from runs import passes, study

from tl_helpers import backbones, datasets, evaluation, finetuning, streams, training
from tl_helpers.domains import adapt_batch_norm
from tl_helpers.features import Features
from tl_helpers.probes import fit_probe
from tl_helpers.storage import whole_or_nothing

BATCH_SIZE, RANK, UNITS, SEVERITY = 16, 4, 8, 5
SMALLER = 0.05  # of the probe's weights, as in notebook 04
FEW = ", few"  # labels: a network that goes on with those of a target
LEARN_SHARE = 0.7  # of the few labels of a target; the others choose the rate
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Setting(NamedTuple):
    """What a setting of the study consists of."""

    name: str
    backbone: str
    size_px: int
    domain: str  # where labels are
    shifts: tuple  # where only tests are: other domains, and corruptions
    targets: tuple  # shifts with a few labels, for surgical fine-tuning
    parts: dict  # {name: blocks} that learn alone
    budget: tuple  # images of a draw: to learn from, to validate on
    num_labels: int  # of a target
    test: int  # images of every domain
    steps: int
    rates: tuple  # among which validation chooses, for every arm its own
    seeds: int
    rate_seeds: int  # seeds on whose validation the rates are settled
    factors: tuple  # of the rate, one for each of the fine-tuned runs of a soup
    has_batch_norm: bool  # that is not folded away; decides which controls there are
    seam: str | None  # block behind which everything learns, its maps are kept


SETTINGS = {
    "solids": Setting(
        "solids",
        "embedded",
        32,
        "studio",
        ("photo", "blur", "noise"),
        ("blur",),
        {"first": ("stem", "block1"), "middle": ("block3",), "last": ("block6",)},
        (200, 70),
        100,
        450,
        100,
        (1e-3, 3e-3, 1e-2),
        5,
        2,
        (1, 1, 0.5, 2),
        True,
        None,
    ),
    "pacs": Setting(
        "pacs",
        "MobileNetV2",
        96,
        "photo",
        ("sketch", "cartoon", "art_painting"),
        ("blur",),
        {},
        (300, 100),
        100,
        150,
        40,
        (3e-4, 1e-3),
        3,
        1,
        (1, 1, 0.5),
        False,
        "stage3",
    ),
}


def load(setting, domain):
    """Return [a pool, test images] of a domain; a corruption is one of the source's."""
    if domain in streams.CORRUPTIONS:
        pool, test = load(setting, setting.domain)
        return [streams.corrupt(x, domain, SEVERITY) for x in (pool, test)]
    if setting.name == "solids":
        return datasets.train_and_test("solids", domain, setting.size_px)
    images = datasets.load(setting.name, domain, setting.size_px)
    sizes = len(images) - setting.test, setting.test
    return datasets.split(images, *sizes, stratify=False)


class Bench:
    """Images, networks and trainings of a setting; nothing is built or traced twice."""

    def __init__(self, setting):
        self.setting = setting
        self.backbone = backbones.load(setting.backbone)
        self.rate = keras.Variable(1e-3)
        self.models, self.probes = {}, {}
        asked = dict.fromkeys((setting.domain, *setting.shifts, *setting.targets))
        self.tests = {name: load(setting, name)[1] for name in asked}
        self.rows, self.images, self.lower = {}, {}, None
        pool, _ = load(setting, setting.domain)
        cut = datasets.split(pool, *setting.budget * setting.seeds)
        self.draws = list(zip(cut[::2], cut[1::2], strict=True))
        self.num_classes = len(pool.class_names)
        self.labels_of = {x: self._few(x) for x in setting.targets}
        self.kept = study(f"claims/{setting.name}", setting=repr(setting))

    def _few(self, target):
        """Return a target's few labels, one set a seed; no image in two of them."""
        setting = self.setting
        if target in streams.CORRUPTIONS:  # of the next draw: other images
            following = self.draws[1:] + self.draws[:1]
            cut = [x[: setting.num_labels] for x, _ in following]
            return [streams.corrupt(x, target, SEVERITY) for x in cut]
        pool, _ = load(setting, target)
        return datasets.split(pool, *[setting.num_labels] * setting.seeds)

    def model(self, kind):
        """Return a network in which one kind of weights learns, and its start."""
        if kind not in self.models:
            self.models[kind] = self._build(kind)
        return self.models[kind][:2]

    def _build(self, kind):
        setting = self.setting
        backbone = self.backbone
        if kind == "scratch":
            backbone = backbones.load(setting.backbone, pretrained=False)
        model = finetuning.classifier(backbone, self.num_classes)
        model = let_learn(model, kind.removesuffix(FEW), self.parts(), self.first(kind))
        trained = model
        if self.has_seam(kind):
            seam = model.get_layer(model.block_layers[setting.seam]).output
            trained = keras.Model(seam, model.output)
            if self.lower is None:
                self.lower = keras.Model(model.input, seam)
        schedule = training.warmup_cosine(self.rate, self.steps(kind))
        trained.compile(keras.optimizers.Adam(schedule), LOSS, steps_per_execution=10)
        return model, model.get_weights(), trained

    def has_seam(self, kind):
        """Whether only what lies behind the seam is trained, on maps that are kept."""
        return self.setting.seam is not None and not kind.endswith(FEW)

    def first(self, kind):
        """Return the first block that may learn."""
        blocks = self.backbone.blocks
        return blocks[blocks.index(self.setting.seam) + 1 if self.has_seam(kind) else 0]

    def inputs(self, kind, images):
        """Return what is trained on and asked: pixels, or maps at the seam."""
        is_cut = self.has_seam(kind)
        self.images[id(images)] = images  # so that its id stays its own
        if (is_cut, id(images)) not in self.rows:
            rows = training.predict_logits(self.lower, images) if is_cut else None
            self.rows[is_cut, id(images)] = images.pixels() if rows is None else rows
        return self.rows[is_cut, id(images)]

    def logits(self, kind, images):
        """Return a network's answers, with the weights that it has."""
        self.model(kind)
        return training.predict_logits(self.models[kind][2], self.inputs(kind, images))

    def accuracy(self, kind, images):
        """Return its share of right answers."""
        return accuracy(self.logits(kind, images), images)

    def steps(self, kind):
        """Return for how many steps: from scratch twice, on a few labels half."""
        if kind.endswith(FEW):
            return self.setting.steps // 2
        return self.setting.steps * (2 if kind == "scratch" else 1)

    def parts(self):
        """Return {name: blocks} that learn alone."""
        blocks = self.backbone.blocks
        middle = len(blocks) // 2
        thirds = {
            "first": blocks[:2],
            "middle": blocks[middle : middle + 1],
            "last": blocks[-1:],
        }
        return self.setting.parts or thirds

    def begin(self, kind, head=None, seed=0):
        """Reset a network to its start.

        Args:
            kind: what learns.
            head: "probe", the draw's probe; int, a random head of that seed; None,
                whatever comes. Or ("smaller", one of these), divided by twenty.
            seed: of the draw.

        Returns:
            keras.Model.
        """
        share, head = (SMALLER, head[1]) if isinstance(head, tuple) else (1, head)
        model, start = self.model(kind)
        if kind == "scratch":
            keras.utils.set_random_seed(head)
            start = keras.models.clone_model(model).get_weights()
        probe = self.probe(seed) if head == "probe" else None
        model.set_weights(start)
        layer = model.get_layer("head_logits")
        if isinstance(head, int):
            random = keras.initializers.GlorotUniform(head)
            layer.kernel.assign(random(layer.kernel.shape))
        elif head is not None:
            finetuning.start_from_probe(model, probe)
        layer.set_weights([share * weight for weight in layer.get_weights()])
        return model

    def fit(self, kind, images, rate, seed):
        """Train a network on images, in passes, from the weights that it has."""
        self.model(kind)
        model = self.models[kind][2]
        self.rate.assign(rate)
        training.reset_optimizer(model)
        rows = order(len(images), self.steps(kind), seed)
        inputs = self.inputs(kind, images)
        training.fit_rows(model, inputs, images.labels, rows, BATCH_SIZE)

    def probe(self, seed):
        """Return a probe on a draw's frozen features."""
        if seed not in self.probes:
            extractor, train = self.begin("all").extractor(), self.draws[seed][0]
            values = training.predict_logits(extractor, train)
            self.probes[seed] = fit_probe(
                Features(values, train.labels, train.class_names)
            )
        return self.probes[seed]

    def score(self, weights, kind="all", seed=None):
        """Return {domain: accuracy}, with a seed that of its validation images, too."""
        model, _ = self.model(kind)
        model.set_weights(weights)
        found = {x: self.accuracy(kind, images) for x, images in self.tests.items()}
        if seed is not None:
            found["validation"] = self.accuracy(kind, self.draws[seed][1])
        return found

    def trained(self, arm, seed, kind, head, rate, number=0):
        """Return the weights of a training, from its file or from running it."""
        path = self.kept.folder / f"{arm}-{seed}.npz".replace(" ", "_")
        if not path.exists():
            model = self.begin(kind, head, seed)
            self.fit(kind, self.draws[seed][0], rate, 100 * number + seed)
            with whole_or_nothing(path) as part:
                np.savez(part, *model.get_weights())
        with np.load(path) as stored:
            return [stored[name] for name in stored.files]

    def refreshed(self, weights, seed, kind="all"):
        """Return weights whose BatchNorm statistics are those of the draw's images."""
        model, _ = self.model(kind)
        model.set_weights(weights)
        return adapt_batch_norm(model, self.draws[seed][0]).get_weights()


def let_learn(model, kind, parts, first):
    """Let one kind of a classifier's weights learn, and return it."""
    if kind in ("all", "all, statistics", "scratch"):
        finetuning.thaw(model, first, batch_norm=kind != "all")
    elif kind == "LoRA":
        finetuning.add_lora(model, RANK, first)
    elif kind == "bottlenecks":
        model = finetuning.add_bottlenecks(model, UNITS, first)
    elif kind in ("batch_norm", "bias", "head"):
        finetuning.train_only(model, kind)
    else:
        finetuning.thaw(model, first)
        members = finetuning.parts(model)
        for part in members.keys() - set(parts[kind]):
            for layer in members[part]:
                layer.trainable = False
    return model


def order(num_images, steps, seed):
    """Draw which images come in a number of steps."""
    return passes(num_images, steps * BATCH_SIZE, np.random.default_rng(seed))


def accuracy(logits, images):
    """Share of right answers."""
    return evaluation.accuracy(logits.argmax(axis=1), images.labels)
