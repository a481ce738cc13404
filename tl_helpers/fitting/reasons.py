"""Facts -> the sentences of a report that say what was decided, and why."""

from tl_helpers.evaluation import Difference
from tl_helpers.fitting.costs import SPEED_PER_S
from tl_helpers.fitting.wording import NOT_ENOUGH, points, ranged


def about_choice(facts):
    """Say which network was chosen, and why."""
    choice = facts["choice"]
    name, block = choice["chosen"]
    chosen = f"the network {name}, cut behind {block}"
    if choice["is_rule"]:
        return (
            f"{NOT_ENOUGH} which network suits best: with fewer than five images a "
            f"class to learn from, a choice is no better than a coin. So the rule of "
            f"thumb was followed: {chosen}, the last one."
        )
    lead = Difference(*choice["lead"]) if choice["lead"] else None
    if lead is None:
        return f"Only one candidate was there: {chosen}."
    after = ", cut behind ".join(choice["next"])
    if lead.verdict == "better":
        return (
            f"Chosen: {chosen}. Its features separate your classes surely better than "
            f"the next best ({after}), by {points(lead)}."
        )
    return (
        f"Chosen: {chosen}, which was ahead on held-out images. {NOT_ENOUGH} whether "
        f"it is really better than {after}: {points(lead)}. Either would do."
    )


def about_forecast(facts):
    """Say what more labels would bring, or why that cannot be told."""
    double, fourfold = facts["forecasts"]
    if double["reason"]:
        if "mistakes are left" in double["reason"]:
            start = "More images could hardly be seen to help"
        else:
            start = f"{NOT_ENOUGH} what more of them would bring"
        return f"{start}. {double['reason']}"
    text = (
        "With twice as many images of each class, a model of this kind would be right "
        f"on about {ranged(double['accuracy'], double['low'], double['high'])}"
    )
    if fourfold["reason"]:
        return f"{text}."
    more = ranged(fourfold["accuracy"], fourfold["low"], fourfold["high"])
    return (
        f"{text}, with four times as many on about {more}, if the curve goes on as it "
        "went so far."
    )


def about_strategy(facts):
    """Say which way of learning was chosen, and why."""
    plan, found = facts["plan"], facts["strategies"]
    if plan["reason"] == "time":
        return (
            "Chosen: a probe, a simple classifier on the frozen network. Comparing it "
            f"with fine-tuning would take about {plan['minutes']:.1f} minutes on a "
            "slow machine, more than allowed; raise --minutes to try."
        )
    if plan["reason"] == "images":
        return (
            "Chosen: a probe, a simple classifier on the frozen network. "
            f"{NOT_ENOUGH} whether fine-tuning would be better: some class has too "
            "few to learn from, to choose by and to check by."
        )
    both = found["both"]
    gain = Difference(*both["gain"])
    told = f"{points(gain)} on held-out images, both on the same ones"
    if found["chosen"] == "fine-tuning" and gain.verdict == "better":
        return (
            "Chosen: fine-tuning, which trains part of the network on your images. It "
            f"is surely better than a probe: {told}."
        )
    if found["chosen"] == "fine-tuning":
        return (
            "Chosen: fine-tuning, which trains part of the network on your images. It "
            f"was ahead of a probe by more than its margin of error: {told}. "
            f"{NOT_ENOUGH} whether that is more than luck."
        )
    if gain.verdict == "worse":
        return (
            "Chosen: a probe, a simple classifier on the frozen network. Fine-tuning "
            f"was surely worse: {told}."
        )
    return (
        "Chosen: a probe, a simple classifier on the frozen network. Fine-tuning was "
        f"not clearly better: {told}; where two are about alike, the simpler one is "
        "taken."
    )


def about_shift(facts):
    """Say how far the unlabelled images are from home, and what was done about it."""
    shift = facts["shift"]
    if not shift:
        return (
            "No images from where the model will be used were given. If they come from "
            "another camera, light or place, the numbers above may not hold there: "
            "give some with --unlabelled."
        )
    if shift["reason"] == "few":
        return (
            f"{NOT_ENOUGH} whether the {shift['num']} unlabelled images differ from "
            "yours: give at least twenty, better a hundred."
        )
    told = (
        f"distance {shift['distance']:.2f} on a scale from 0 to 2, where chance alone "
        f"gives up to {shift['noise']:.2f}"
    )
    if shift["reason"] == "none":
        return (
            f"The {shift['num']} unlabelled images look like yours to the network "
            f"({told}). The numbers above should hold there; nothing was adapted."
        )
    return (
        f"The {shift['num']} unlabelled images look different from yours ({told}). "
        "The numbers above do not hold there. " + _WHY_ADAPTED[shift["reason"]]
    )


_LABEL_SOME = "Label fifty of them and test before you rely on an answer."
_WHY_ADAPTED = {
    "no layers": (
        "This network has no BatchNormalization layers that could be adapted. "
        + _LABEL_SOME
    ),
    "too few to adapt": (
        "Nothing was adapted: fewer than a hundred images give no steady statistics. "
        + _LABEL_SOME
    ),
    "few classes": (
        "Nothing was adapted: the answers fall on few of the classes. If the images "
        "really show only those, adapting does harm. " + _LABEL_SOME
    ),
    "no gain": (
        "Nothing was adapted: with the statistics of these images they lay no nearer "
        "to yours. " + _LABEL_SOME
    ),
    "adapted": (
        "So a second model was written, model_adapted.keras, which takes the mean and "
        "spread of its inner values from these images: with them they lie nearer to "
        "yours, and the answers still use most of the classes. Which of the two is "
        "better there, no one can know without labels. " + _LABEL_SOME
    ),
}


def about_costs(facts):
    """Say what the model costs to run."""
    costs = facts["costs"]
    count = costs["multiply-adds"]
    return (
        f"The file has {costs['bytes'] / 1e6:.1f} MB, {costs['parameters'] / 1e6:.2f} "
        f"million numbers. One image takes {count / 1e6:.0f} million multiplications, "
        f"about {max(1, count / SPEED_PER_S * 1000):.0f} ms of one laptop "
        f"processor core; no graphics card is needed. Pictures are shrunk to "
        f"{costs['size_px']} px, so what is smaller than a pixel there cannot be seen."
    )
