"""The steps of a fitting; what each found is kept, so that a kill costs only one."""

import hashlib
import json
import shutil

import keras
import numpy as np
from scipy.special import softmax

from tl_helpers import backbones
from tl_helpers.evaluation import binomial_interval, confusion
from tl_helpers.features import extract
from tl_helpers.fitting import protocol
from tl_helpers.fitting.answering import picture_classifier
from tl_helpers.fitting.candidates import (
    Candidate,
    choose_candidate,
    probe_on_folds,
    rank_candidates,
    size_of,
)
from tl_helpers.fitting.costs import multiply_adds
from tl_helpers.fitting.curves import forecast, learning_curve
from tl_helpers.fitting.shift import measure_shift
from tl_helpers.fitting.trust import balanced_with_interval, judge_trust
from tl_helpers.fitting.tuning import (
    compare_strategies,
    fine_tuned,
    plan_fine_tuning,
    probe_classifier,
)
from tl_helpers.saving import save_model
from tl_helpers.storage import Kept
from tl_helpers.training import predict_logits

FORMAT = 1  # of what is kept: raise it when a step changes


class Steps:
    """One fitting.

    Args:
        train: ImageSet to learn from.
        test: ImageSet, asked once at the end.
        names: sequence of backbone names.
        minutes: float >= 0, for fine-tuning.
        seed: int.
        out: Path of the folder for models and for what is kept.
        bar: tqdm bar, moved on at every step.
    """

    def __init__(self, train, test, names, minutes, seed, out, bar):
        self.home, self.test = train, test
        self.minutes, self.seed = minutes, seed
        self.loaded = {name: backbones.load(name) for name in names}
        self.out, self.bar = out, bar
        identity = {
            "train": train.fingerprint,
            "test": test.fingerprint,
            "classes": list(train.class_names),
            "backbones": [[name, self.loaded[name].fingerprint] for name in names],
            "minutes": float(minutes),
            "seed": int(seed),
            "keras": f"{keras.__version__}, {keras.backend.backend()}",
            "format": FORMAT,
        }
        text = json.dumps(identity, sort_keys=True)
        digits = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.kept = Kept(out / "work" / digits, identity)
        self.folds = protocol.make_folds(train.labels, seed)
        self.model_path = out / "model.keras"
        self.adapted_path = out / "model_adapted.keras"

    def run(self, away):
        """Take all steps.

        Args:
            away: (ImageSet without labels, list of broken files), or None.

        Returns:
            dict of JSON values, as `Fitted.facts`.
        """
        facts = {"choice": self._step("choice", self._choose, "choosing a network")}
        self.candidate = Candidate(*facts["choice"]["chosen"])
        self.backbone = self.loaded[self.candidate.backbone]
        self.size_px = size_of(self.candidate.backbone)
        self.train = self.home.resized(self.size_px)
        self.features = extract(self.backbone, self.train, self.candidate.block)
        curve = self._step("curve", self._curve, "would more labels help?")
        facts |= {"curve": curve, "forecasts": self._forecasts(curve)}
        facts |= self._compare()
        facts["trust"] = judge_trust(*self._held_out(facts["chosen"]))
        self.bar.set_description("fitting the model")
        model = self._model(facts["chosen"])
        self._save(model, facts["trust"], self.model_path)
        self.bar.update()
        trust = facts["trust"]
        facts["test"] = self._step("test", lambda: self._test(model, trust), "testing")
        self.probabilities = np.array(facts["test"].pop("probabilities")[0])
        facts["shift"] = self._shift(model, away, facts["trust"])
        facts["costs"] = self._costs(model)
        self.bar.update()
        return facts

    def _step(self, key, compute, text):
        """Return what a step found, from what was kept or from computing it now."""
        self.bar.set_description(text)
        if self.kept.get(key) is None:
            content, arrays = compute()
            self.kept.put(key, content, **arrays)
        self.bar.update()
        return self.kept.get(key)

    def _choose(self):
        ranks, features = rank_candidates(self.loaded, self.home, self.seed)
        return choose_candidate(ranks, features, self.folds, self.seed)[1], {}

    def _curve(self):
        return learning_curve(self.features, self.folds, self.seed), {}

    def _forecasts(self, curve):
        numbers = curve["sizes"], curve["wrong"], curve["held"]
        return [forecast(*numbers, x, self.seed)._asdict() for x in (2.0, 4.0)]

    def _compare(self):
        """Compare with guessing, and with fine-tuning where the time allows it."""
        probe = self._step("probe", self._probe, "probing")["logits"][0]
        self.logits = {"probe": (probe, self.folds)}
        cut = self.backbone.extractor(self.candidate.block)
        labels = self.train.labels
        plan = plan_fine_tuning(cut, self.size_px, labels, self.folds, self.minutes)
        most = int(np.bincount(labels).argmax())
        guess = [float((labels[held] == most).mean()) for _, held in self.folds]
        scores = protocol.fold_accuracies(probe, labels, self.folds)
        found = {"guess": guess, "probe": scores, "chosen": "probe"}
        if plan.num_folds:
            folds = self.folds[: plan.num_folds]
            tuned = self._tune(folds)
            self.logits["fine-tuning"] = tuned, folds
            both = compare_strategies(probe, tuned, labels, folds)
            found |= {"both": both, "chosen": both["chosen"]}
        found = {"plan": plan._asdict(), "strategies": found}
        return found | {"chosen": found["strategies"]["chosen"]}

    def _probe(self):
        return {}, {"logits": [probe_on_folds(self.features, self.folds, self.seed)]}

    def _tune(self, folds):
        self.bar.total += len(folds)

        def answer(number, learnt, held):
            def compute():
                images = self.train
                logits = predict_logits(self._tuned(images[learnt], key), images[held])
                return {}, {"logits": [logits]}

            key = ("fine-tuning", number)
            text = f"fine-tuning, {number + 1} of {len(folds)}"
            logits = self._step(key, compute, text)["logits"][0]
            shutil.rmtree(self.kept.path(key), ignore_errors=True)
            return logits

        size = len(self.train), len(self.train.class_names)
        return protocol.held_out_logits(answer, folds, *size)

    def _tuned(self, images, key):
        keras.utils.set_random_seed(self.seed)
        block = self.candidate.block
        folder = self.kept.path(key)
        return fine_tuned(self.backbone, block, images, folder, self.seed)

    def _held_out(self, chosen):
        """Return a strategy's logits on held-out rows, and their labels."""
        logits, folds = self.logits[chosen]
        rows = np.sort(np.concatenate([held for _, held in folds]))
        return logits[rows], self.train.labels[rows]

    def _model(self, chosen):
        """Fit the chosen strategy to all training images."""
        if chosen == "probe":
            block = self.candidate.block
            return probe_classifier(self.backbone, self.features, block, self.seed)
        return self._tuned(self.train, "fine-tuning on all images")

    def _test(self, model, trust):
        """Ask the test images, once."""
        logits = predict_logits(model, self.test.resized(self.size_px))
        probabilities = softmax(logits / trust["temperature"], axis=1)
        answers, labels = probabilities.argmax(axis=1), self.test.labels
        num_right, number = int((answers == labels).sum()), len(labels)
        counts = confusion(answers, labels, logits.shape[1])
        found = {
            "right": num_right,
            "num": number,
            "interval": binomial_interval(num_right, number),
            "balanced": balanced_with_interval(counts),
            "confusion": counts.tolist(),
            "sure": _sure(probabilities, labels, trust["threshold"]),
        }
        return found, {"probabilities": [probabilities]}

    def _shift(self, model, away, trust):
        """Look at the unlabelled images, where there are any; save what is adapted."""
        if away is None:
            return {}
        self.bar.set_description("looking where it will be used")
        unlabelled, broken = away
        found, adapted = measure_shift(
            model,
            self.train,
            unlabelled.resized(self.size_px),
            trust["temperature"],
            self.seed,
        )
        if adapted is not None:
            self._save(adapted, trust, self.adapted_path)
        return found | {"broken": broken}

    def _save(self, model, trust, path):
        names = self.train.class_names
        numbers = trust["temperature"], trust["threshold"]
        save_model(picture_classifier(model, names, self.size_px, *numbers), path)

    def _costs(self, model):
        return {
            "parameters": model.count_params(),
            "multiply-adds": multiply_adds(model, self.size_px),
            "bytes": self.model_path.stat().st_size,
            "size_px": self.size_px,
        }


def _sure(probabilities, labels, threshold):
    """Count the answers above the threshold, and the right ones among them."""
    if threshold is None:
        return None
    is_sure = probabilities.max(axis=1) >= threshold
    is_right = probabilities.argmax(axis=1) == labels
    return {"num": int(is_sure.sum()), "right": int((is_sure & is_right).sum())}
