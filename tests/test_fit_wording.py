import copy

import pytest

from tl_helpers.fitting import reasons, wording

BOTH = {"gain": [0.05, 0.01, 0.09, 5], "chosen": "fine-tuning"}
FACTS = {
    "data": {
        "train": 120,
        "test": 40,
        "has own test": False,
        "train counts": {"cat": 60, "dog": 60},
        "test counts": {"cat": 20, "dog": 20},
    },
    "test": {
        "right": 36,
        "num": 40,
        "interval": [0.77, 0.96],
        "balanced": [0.9, 0.76, 0.96],
        "sure": {"num": 30, "right": 30},
    },
    "choice": {
        "chosen": ["net", "block5"],
        "next": ["net", "block6"],
        "is_rule": False,
        "lead": [0.1, 0.02, 0.18, 5],
    },
    "plan": {"num_folds": 5, "minutes": 2.0, "reason": ""},
    "strategies": {"chosen": "fine-tuning", "both": BOTH},
    "trust": {"num": 120, "before": 0.1, "after": 0.03, "threshold": 0.8},
    "forecasts": [
        {"accuracy": 0.93, "low": 0.9, "high": 0.95, "factor": 2.0, "reason": ""},
        {"accuracy": 0.95, "low": 0.91, "high": 0.97, "factor": 4.0, "reason": ""},
    ],
    "shift": {},
}
PROBE = {"strategies__chosen": "probe"}
FEW_AWAY = {"num": 9, "reason": "few"}
SHIFTED = {"num": 150, "distance": 1.4, "noise": 0.2}


def told(function, **changes):
    """Return the sentence about facts of which some entries are others."""
    facts = copy.deepcopy(FACTS)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = facts
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        place[int(last) if last.isdigit() else last] = value
    return function(facts)


def test_headline_has_the_number_and_its_interval():
    assert told(wording.headline) == (
        "Of 40 test images the model named 36 rightly: 90% (77 to 96)."
    )


@pytest.mark.parametrize(
    "function, changes, words",
    [
        (wording.headline, {"test__num": 15, "test__right": 9}, wording.NOT_ENOUGH),
        (wording.headline, {"test__interval": [0.6, 0.9]}, "That range is wide"),
        (wording.headline, {"test__interval": [0.45, 0.9]}, "no better than always"),
        (wording.advice, {"test__num": 15, "test__right": 9}, "Collect more images"),
        (wording.advice, {"test__interval": [0.45, 0.9]}, "Do not use this model"),
        (wording.advice, {"trust__threshold": None}, "look at every answer"),
        (wording.advice, {}, "with a confidence below 80%"),
        (wording.about_sets, {}, "a quarter of every class"),
        (wording.about_sets, {"data__has own test": True}, "of your test folder"),
        (
            wording.about_balance,
            {"data__train counts__dog": 15},
            "cat has 60 images to learn from, dog 15",
        ),
        (wording.about_few, {"data__test counts__dog": 4}, "10 test images of dog"),
        (reasons.about_choice, {}, "surely better than the next best"),
        (reasons.about_choice, {"choice__lead": [0.1, -0.1, 0.3, 5]}, "Either would"),
        (reasons.about_choice, {"choice__is_rule": True}, "no better than a coin"),
        (reasons.about_choice, {"choice__lead": None}, "Only one candidate"),
        (reasons.about_forecast, {}, "on about 93% (90 to 95), with four times"),
        (
            reasons.about_forecast,
            {"forecasts__0__reason": "The curve bends: so."},
            "Not enough images to tell what more of them would bring. The curve bends",
        ),
        (
            reasons.about_forecast,
            {"forecasts__0__reason": "Only 2 mistakes are left among 90 images."},
            "More images could hardly be seen to help",
        ),
        (reasons.about_strategy, {}, "surely better than a probe: +5 points (+1 to"),
        (
            reasons.about_strategy,
            {"strategies__both__gain": [0.05, -0.01, 0.11, 5]},
            "more than its margin of error",
        ),
        (
            reasons.about_strategy,
            {
                "strategies__chosen": "probe",
                "strategies__both__gain": [-0.1, -0.2, 0, 5],
            },
            "not clearly better",
        ),
        (
            reasons.about_strategy,
            PROBE | {"strategies__both__gain": [-0.1, -0.15, -0.05, 5]},
            "surely worse: -10 points",
        ),
        (reasons.about_strategy, {"plan__reason": "time"}, "raise --minutes"),
        (reasons.about_strategy, {"plan__reason": "images"}, "some class has too few"),
        (wording.about_trust, {}, "30 of 40 images reached it"),
        (wording.about_trust, {"test__sure": {"num": 0, "right": 0}}, "No test image"),
        (wording.about_trust, {"trust__threshold": None}, wording.NOT_ENOUGH),
        (reasons.about_shift, {}, "No images from where"),
        (
            reasons.about_shift,
            {"shift": FEW_AWAY},
            "at least twenty",
        ),
        (
            reasons.about_shift,
            {"shift": SHIFTED | {"reason": "none"}},
            "look like yours",
        ),
        *(
            (reasons.about_shift, {"shift": SHIFTED | {"reason": reason}}, words)
            for reason, words in {
                "no layers": "no BatchNormalization",
                "too few to adapt": "fewer than a hundred",
                "few classes": "few of the classes",
                "no gain": "no nearer",
                "adapted": "model_adapted.keras",
            }.items()
        ),
    ],
)
def test_every_decision_has_its_sentence(function, changes, words):
    assert words in told(function, **changes)


def test_even_classes_with_enough_images_need_no_word():
    assert told(wording.about_balance) == told(wording.about_few) == ""
