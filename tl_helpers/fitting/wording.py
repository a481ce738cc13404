"""Facts -> the sentences of a report on images, test and trust."""

from tl_helpers.evaluation import binomial_interval
from tl_helpers.fitting.trust import AIM, FLOOR

FEW_TEST = 20  # test images: fewer tell hardly anything
WIDE = 0.20  # an interval from here on is called wide
FEW_OF_A_CLASS = 10  # test images of a class
UNEVEN = 3  # times as many images in the largest class as in the smallest
NOT_ENOUGH = "Not enough images to tell"


def percent(share):
    """Return for example '87%'."""
    return f"{100 * share:.0f}%"


def ranged(share, low, high):
    """Return for example '87% (78 to 93)'."""
    return f"{percent(share)} ({100 * low:.0f} to {100 * high:.0f})"


def share_of(num_right, number):
    """Return for example '87% (78 to 93)', with the 95% interval."""
    return ranged(num_right / number, *binomial_interval(num_right, number))


def points(difference):
    """Return a difference in points, with its interval where it has one."""
    mean, low, high = (100 * x for x in difference[:3])
    return f"{mean:+.0f} points ({low:+.0f} to {high:+.0f})"


def headline(facts):
    """Say how good the model is, in one sentence."""
    test, data = facts["test"], facts["data"]
    low, high = test["interval"]
    right = (
        f"Of {test['num']} test images the model named {test['right']} rightly: "
        f"{share_of(test['right'], test['num'])}."
    )
    if test["num"] < FEW_TEST:
        return f"{NOT_ENOUGH} how good the model is. {right}"
    most = max(data["test counts"].values()) / test["num"]
    if not beats_guessing(facts):
        return (
            f"{right} That is no better than always naming the commonest class "
            f"({percent(most)}), as far as these images can show."
        )
    if high - low > WIDE:
        return f"{right} That range is wide: more test images would narrow it."
    return right


def beats_guessing(facts):
    """Whether the test shows more than always naming the commonest class."""
    test = facts["test"]
    most = max(facts["data"]["test counts"].values()) / test["num"]
    return test["interval"][0] > most


def advice(facts):
    """Say whether to use the model, in one sentence."""
    if facts["test"]["num"] < FEW_TEST:
        return (
            "Collect more images before you rely on it: at least "
            f"{FEW_TEST} to test by, better a hundred."
        )
    if not beats_guessing(facts):
        return (
            "Do not use this model. Look at the labels first: either they are wrong, "
            "or the classes do not differ in what a picture shows."
        )
    threshold = facts["trust"]["threshold"]
    if threshold is None:
        return (
            "Let a person look at every answer: no confidence was found above which "
            "the answers are nearly always right."
        )
    return (
        f"Let a person look at the answers with a confidence below "
        f"{percent(threshold)}; above it they were nearly always right."
    )


def about_sets(facts):
    """Say which images learnt and which tested."""
    data = facts["data"]
    origin = (
        "those of your test folder"
        if data["has own test"]
        else "a quarter of every class, drawn at random"
    )
    return (
        f"{data['train']} images taught the model. {data['test']} others, {origin}, "
        "were kept apart and asked once, at the very end."
    )


def about_balance(facts):
    """Say whether some class has many more images than another."""
    counts = facts["data"]["train counts"]
    most, least = max(counts, key=counts.get), min(counts, key=counts.get)
    if counts[most] < UNEVEN * counts[least]:
        return ""
    balanced = facts["test"]["balanced"]
    return (
        f"The classes are uneven: {most} has {counts[most]} images to learn from, "
        f"{least} {counts[least]}. A model learns to prefer the common one. If every "
        f"class counts the same, the model is right on {ranged(*balanced)} of the "
        "test images."
    )


def about_few(facts):
    """Say of which classes the test can tell hardly anything."""
    counts = facts["data"]["test counts"]
    few = [name for name, number in counts.items() if number < FEW_OF_A_CLASS]
    if not few:
        return ""
    shown = ", ".join(few[:6]) + (f" and {len(few) - 6} more" if len(few) > 6 else "")
    return (
        f"{NOT_ENOUGH} how well single classes are recognised: fewer than "
        f"{FEW_OF_A_CLASS} test images of {shown}."
    )


def about_trust(facts):
    """Say how far the model's confidence can be believed."""
    trust = facts["trust"]
    error = 100 * trust["after"]
    text = (
        f"On {trust['num']} held-out images, confidence and success lay "
        f"{error:.0f} points apart on average"
    )
    before = 100 * trust["before"]
    text += f" ({before:.0f} before they were matched to each other)."
    threshold = trust["threshold"]
    if threshold is None:
        return (
            f"{text} {NOT_ENOUGH} where the model can be left alone: no confidence "
            "was found above which nearly all answers were right "
            f"({percent(AIM)}, and by its interval at least {percent(FLOOR)})."
        )
    text += (
        f" From a confidence of {percent(threshold)} on, at least "
        f"{percent(AIM)} of the answers were right there."
    )
    sure, test = facts["test"]["sure"], facts["test"]
    if not sure["num"]:
        return f"{text} No test image reached that confidence."
    return (
        f"{text} In the test, {sure['num']} of {test['num']} images reached it, and "
        f"of those {share_of(sure['right'], sure['num'])} were right."
    )
