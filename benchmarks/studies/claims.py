"""Famous claims of fine-tuning, tried: solids with the embedded backbone, and PACS.

    python benchmarks/studies/claims.py --on solids [--seeds 0 1 2 3 4]
    python benchmarks/studies/claims.py --on pacs [--seeds 0 1 2]
    python benchmarks/studies/claims.py --table [--on solids]

`--on pacs` needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`).
A seed is a draw of labelled source images that shares none with another draw; the test
images are the same for all. Every arm takes the same number of steps of 16 images with
Adam, up and down along a cosine; from scratch twice as many, on a few labels half.
BatchNormalization stays frozen where nothing else is said. Every arm has a rate of its
own, the best of a few on validation images of the label budget; test labels choose
nothing.

source: linear probe (LP), fine-tuning behind a random head (FT) and from the probe
    (LP-FT).
smaller head: LP-FT from the probe's weights divided by twenty, which are less sure; at
    the rate of LP-FT. smaller random head: the same with a random head, a control.
line: WiSE-FT, five points between LP and LP-FT.
soups: runs from the smaller head with other orders and rates; the best by validation,
    their soup, greedy soup, ensemble, and the ensemble distilled into one network. And
    two runs from one random head in which BatchNormalization learns, too.
outsider: the soup without the run whose rate is doubled, and the line to that run.
valleys: lines between two runs: of one start, of two random heads, from scratch.
adapters: LoRA, biases only, bottlenecks, BatchNorm only, from the smaller head.
targets: the fine-tuned network goes on with a few labels of a target; all of it learns,
    or one part; also with BatchNormalization's statistics of the target's images.

Every run leaves a file in build/claims and is not repeated. `--table` writes what is
there into data/claims.json.gz, which notebook 20 shows.
"""

import argparse
import gzip
import json
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
from claims_networks import BATCH_SIZE, FEW, LEARN_SHARE, LOSS, SETTINGS, Bench, order
from claims_networks import accuracy as share_right
from runs import run_once
from scipy.special import softmax

from tl_helpers import combining, datasets, finetuning, training
from tl_helpers.domains import adapt_batch_norm
from tl_helpers.storage import whole_or_nothing

SHARES = (0, 0.25, 0.5, 0.75, 1)
TABLE = Path(__file__).resolve().parents[2] / "data" / "claims.json.gz"
SMALLER = ("smaller", "probe")  # head
FEWER = 0.3  # of the rates, among which a few labels of a target choose
SCRATCH = 2  # seeds that are also trained from scratch
SURGICAL = ("all", "first", "middle", "last", "head")  # what learns on few labels


@cache
def bench(name):
    """Return the images and networks of a setting."""
    return Bench(SETTINGS[name])


def kinds_of(on):
    """Return {arm on the source: (what learns, head)}."""
    arms = {"LP-FT": ("all", "probe"), "FT": ("all", 1000)}
    arms["smaller head"] = ("all", SMALLER)
    arms["smaller random head"] = ("all", ("smaller", 1000))
    arms |= {"LoRA": ("LoRA", SMALLER), "biases": ("bias", SMALLER)}
    if on.setting.has_batch_norm:
        arms["bottlenecks"] = ("bottlenecks", SMALLER)
        arms |= {"BatchNorm": ("batch_norm", SMALLER)}
        arms |= {"FT, statistics": ("all, statistics", 1000), "scratch": ("scratch", 0)}
    return arms


def rate_of(on, arm):
    """Return an arm's rate, settled on validation images of the label budget."""

    def settle(_):
        found = {}
        kind, head = kinds_of(on)[arm]
        for rate in on.setting.rates:
            own = []
            for seed in range(on.setting.rate_seeds if "FT" in arm else 1):
                on.begin(kind, head, seed)
                on.fit(kind, on.draws[seed][0], rate, seed)
                own.append(on.accuracy(kind, on.draws[seed][1]))
            found[f"{rate:g}"] = float(np.mean(own))
        return {"validation": found, "rate": float(max(found, key=found.get))}

    if arm in ("smaller head", "smaller random head", "scratch"):  # as LP-FT, untuned
        return rate_of(on, "LP-FT")
    return run_once(on.kept, f"rate of {arm}", 0, settle)["rate"]


def trained(on, arm, seed, **other):
    """Return the weights of an arm on the source."""
    kind, head = kinds_of(on)[arm]
    head = of_seed(head, seed)
    settings = {"kind": kind, "head": head, "rate": rate_of(on, arm)} | other
    return on.trained(other.pop("arm", arm), seed, **settings)


def of_seed(head, seed):
    """Return a head as it is for one draw: every draw has random heads of its own."""
    if isinstance(head, tuple):
        return (head[0], of_seed(head[1], seed))
    return head + seed if isinstance(head, int) else head


def start_of(on, seed, head="probe"):
    """Return the weights of the backbone with the probe's head."""
    return on.begin("all", head, seed).get_weights()


def source(on, seed):
    """Score LP, FT and LP-FT."""
    found = {"LP": on.score(start_of(on, seed), seed=seed)}
    for arm in ("FT", "LP-FT"):
        found[arm] = on.score(trained(on, arm, seed), seed=seed)
    if on.setting.has_batch_norm:
        found["FT, statistics"] = on.score(
            trained(on, "FT, statistics", seed), seed=seed
        )
    return found


def smaller_head(on, seed):
    """Score LP-FT from a head that answers like the probe, less sure."""
    return on.score(trained(on, "smaller head", seed), seed=seed)


def smaller_random_head(on, seed):
    """Score FT from a random head that is as unsure as the smaller one."""
    return on.score(trained(on, "smaller random head", seed), seed=seed)


def line(on, seed):
    """Score the points from LP to LP-FT; return {arm: {domain: [accuracy]}}."""
    found = {}
    for arm, head in (("LP-FT", "probe"), ("smaller head", SMALLER)):
        ends = [start_of(on, seed, head), trained(on, arm, seed)]
        points = []

        def note(model, points=points):
            points.append(on.score(model.get_weights(), seed=seed))
            return points[-1]["validation"]

        combining.walk(*as_models(on, ends), SHARES, note)
        found[arm] = {name: [point[name] for point in points] for name in points[0]}
    return found


def as_models(on, networks):
    """Give every network a model of its own."""
    model, _ = on.model("all")
    copies = []
    for weights in networks:
        model.set_weights(weights)
        copies.append(combining.interpolate(model, model, 0))
    return copies


def runs_of(on, seed, arm):
    """Return the weights of several runs from one start: other orders and rates."""
    kind, head = kinds_of(on)[arm]
    head = of_seed(head, seed)
    return [
        on.trained(
            f"{arm} {i}" if i else arm, seed, kind, head, factor * rate_of(on, arm), i
        )
        for i, factor in enumerate(on.setting.factors[: 2 if kind != "all" else None])
    ]


def soups(on, seed):
    """Score the runs of one start and what can be made of them."""
    found = {"frozen": combined(on, seed, "smaller head")}
    if on.setting.has_batch_norm:
        models = as_models(on, runs_of(on, seed, "smaller head"))
        found["frozen"]["distilled"] = on.score(distilled(on, seed, models), seed=seed)
        found["learning"] = combined(on, seed, "FT, statistics")
    return found


def combined(on, seed, arm):
    """Score several runs, their soups and their ensemble, statistics anew or not."""
    networks = runs_of(on, seed, arm)
    models = as_models(on, networks)
    validation = on.draws[seed][1]

    def score(model):
        on.model("all")[0].set_weights(model.get_weights())
        return on.accuracy("all", validation)

    greedy = combining.greedy_soup(models, score)
    blended = combining.soup(models).get_weights()
    found = {"runs": [on.score(x, seed=seed) for x in networks], "kept": greedy.kept}
    found["soup"] = on.score(blended, seed=seed)
    found["greedy soup"] = on.score(greedy.model.get_weights(), seed=seed)
    found["ensemble"] = together(on, networks, seed)
    if arm == "FT, statistics":
        anew = [on.refreshed(x, seed) for x in networks]
        found["runs, statistics anew"] = [on.score(x, seed=seed) for x in anew]
        found["soup, statistics anew"] = on.score(
            on.refreshed(blended, seed), seed=seed
        )
    return found


def together(on, networks, seed):
    """Score the mean of the networks' probabilities."""
    model, _ = on.model("all")
    asked = {**on.tests, "validation": on.draws[seed][1]}
    sums = dict.fromkeys(asked, 0)
    for weights in networks:
        model.set_weights(weights)
        for name, images in asked.items():
            sums[name] += softmax(on.logits("all", images), axis=1)
    return {name: share_right(sums[name], images) for name, images in asked.items()}


def distilled(on, seed, models):
    """Teach the runs' start what the ensemble answers; return its weights."""
    student = on.begin("all", SMALLER, seed)
    learning = combining.distiller(student, combining.ensemble(models))
    schedule = training.warmup_cosine(rate_of(on, "LP-FT"), on.setting.steps)
    learning.compile(keras.optimizers.Adam(schedule), LOSS, steps_per_execution=10)
    train = on.draws[seed][0]
    rows = order(len(train), on.setting.steps, seed)
    images = train.pixels().astype("float32")
    settings = {"batch_size": BATCH_SIZE, "shuffle": False, "verbose": 0}
    learning.fit(images[rows], train.labels[rows], **settings)
    return student.get_weights()


def valleys(on, seed):
    """Score lines between two runs; return {which: {"accuracy": [], "loss": []}}."""
    same = runs_of(on, seed, "smaller head")[:2]
    heads = [trained(on, "FT", seed)]
    heads.append(
        on.trained("FT, head 2", seed, "all", 2000 + seed, rate_of(on, "FT"), 1)
    )
    found = {"one start": path(on, *same), "two heads": path(on, *heads)}
    if on.setting.has_batch_norm and seed < SCRATCH:
        rate = rate_of(on, "scratch")
        scratch = {
            name: on.trained(f"scratch, {name}", seed, "scratch", head, rate, i)
            for name, head, i in (("a", seed, 0), ("b", seed, 1), ("c", 50 + seed, 1))
        }
        pairs = {"scratch, one start": "ab", "scratch, two starts": "ac"}
        for name, (a, b) in pairs.items():
            found[name] = path(on, scratch[a], scratch[b])
            anew = path(on, scratch[a], scratch[b], on.draws[seed][0])
            found[f"{name}, statistics anew"] = anew
    return found


def outsider(on, seed):
    """Score the soup without the run at twice the rate, and the line to that run."""
    runs = runs_of(on, seed, "smaller head")
    if len(runs) < 4:
        return {}
    blended = combining.soup(as_models(on, runs[:3])).get_weights()
    return {"soup": on.score(blended, seed=seed), "line": path(on, runs[0], runs[3])}


def path(on, first, second, images=None):
    """Return accuracy and loss on the source's test, along a line."""
    models, losses = as_models(on, [first, second]), []
    model, _ = on.model("all")
    test = on.tests[on.setting.domain]

    def score(between):
        model.set_weights(between.get_weights())
        logits = on.logits("all", test)
        losses.append(float(LOSS(test.labels, logits)))
        return share_right(logits, test)

    refresh = None
    if images is not None:
        refresh = partial(adapt_batch_norm, images=images)
    found = combining.walk(*models, SHARES, score, refresh)
    return {"accuracy": found.tolist(), "loss": losses}


def adapters(on, seed):
    """Score the ways to learn few numbers; with their numbers and bytes."""
    found = {}
    for arm, (kind, _) in kinds_of(on).items():
        if arm in ("smaller head", "LoRA", "biases", "bottlenecks", "BatchNorm"):
            weights = trained(on, arm, seed)
            size = finetuning.adapter_size(on.model(kind)[0])
            scores = on.score(weights, kind, seed)
            found[arm] = {"trainable": size.trainable, "bytes": size.num_bytes} | scores
    head = finetuning.adapter_size(on.model("head")[0])
    sizes = {"trainable": head.trainable, "bytes": head.num_bytes}
    found["head"] = sizes | on.score(start_of(on, seed), seed=seed)
    return found


def targets(on, seed):
    """Score LP-FT after it went on with a few labels of each target."""
    found = {}
    for target, labelled in on.labels_of.items():
        starts = {"": trained(on, "smaller head", seed)}
        on.model("all")[0].set_weights(starts[""])
        found[target] = {"source": on.accuracy("all", on.tests[target])}
        if on.setting.has_batch_norm:
            on.model("all")[0].set_weights(starts[""])
            known = on.draws[seed][0]  # frozen statistics are not this domain's
            anew = adapt_batch_norm(
                on.model("all")[0], labelled[seed], source_images=known
            ).get_weights()
            starts["statistics, then "] = anew
            on.model("all")[0].set_weights(anew)
            found[target]["statistics"] = on.accuracy("all", on.tests[target])
        for prefix, start in starts.items():
            for part in SURGICAL[:2] if prefix else SURGICAL:
                rate = rate_on(on, part)
                go_on(on, start, part, labelled[seed], rate, seed)
                score = on.accuracy(part + FEW, on.tests[target])
                found[target][prefix + part] = score
    return found


def go_on(on, start, part, labelled, rate, seed):
    """Train on with a few labels; return images with labels that were kept back."""
    learn, choose = datasets.split(labelled, LEARN_SHARE, 1 - LEARN_SHARE)
    model, _ = on.model(part + FEW)
    model.set_weights(start)
    on.fit(part + FEW, learn, rate, seed)
    return choose


def rate_on(on, part):
    """Return a part's rate on the targets, settled on their few labels."""

    def settle(_):
        rates = [FEWER * rate for rate in on.setting.rates]
        found = dict.fromkeys((f"{rate:g}" for rate in rates), 0.0)
        start = trained(on, "smaller head", 0)
        for labelled in on.labels_of.values():
            for rate in rates:
                choose = go_on(on, start, part, labelled[0], rate, 0)
                found[f"{rate:g}"] += on.accuracy(part + FEW, choose)
        return {"validation": found, "rate": float(max(found, key=found.get))}

    return run_once(on.kept, f"rate of {part} on targets", 0, settle)["rate"]


PARTS = {
    "source": source,
    "smaller head": smaller_head,
    "smaller random head": smaller_random_head,
    "line": line,
    "soups": soups,
    "valleys": valleys,
    "outsider": outsider,
    "adapters": adapters,
    "targets": targets,
}


def table(name):
    """Return {part: [one a seed]} of what has been run, rounded, and the rates."""
    results = bench(name).kept.all()
    found = {"rates": {x["name"][8:]: x["rate"] for x in results if "rate" in x}}
    for part in PARTS:
        own = [x for x in results if x["name"] == part]
        own = [x["found"] for x in sorted(own, key=lambda x: x["seed"])]
        found[part] = rounded(own)
    return found


def rounded(found):
    """Round every number in a nest of dicts and lists."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return round(found, 4) if isinstance(found, float) else found


def main():
    """Run what is missing; or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--on", choices=SETTINGS)
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.on and not arguments.table:
        on = bench(arguments.on)
        for part, compute in PARTS.items():
            for seed in arguments.seeds or range(on.setting.seeds):
                found = run_once(
                    on.kept, part, seed, lambda x, do=compute: {"found": do(on, x)}
                )
                print(part, seed, f"{found['seconds']:.0f} s", flush=True)
    if arguments.table:
        kept = json.loads(gzip.decompress(TABLE.read_bytes())) if TABLE.exists() else {}
        names = [arguments.on] if arguments.on else SETTINGS
        found = {name: table(name) for name in names if bench(name).kept.all()}
        text = json.dumps(kept | found) + "\n"
        with whole_or_nothing(TABLE) as part:
            part.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
