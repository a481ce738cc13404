"""What a fitting found -> one page, with its pictures inside, for a phone or a desk."""

import string
from html import escape
from pathlib import Path

import numpy as np

from tl_helpers.evaluation import binomial_interval
from tl_helpers.fitting import drawing, reasons, wording
from tl_helpers.fitting.markup import listed, paragraph, section
from tl_helpers.fitting.showing import about_images, about_test
from tl_helpers.storage import write_text

MAX_ROWS = 12  # classes of a table
USE = """from tl_helpers.saving import load_model

model = load_model("model.keras")
for name, confidence, is_sure in model.answer(["picture.jpg"]):
    print(name, f"{confidence:.0%}", "" if is_sure else "(let a person look)")

# or images in memory, RGB from 0 to 255, of any size:
probabilities = model.predict(images)  # (number of images, classes)
print(model.class_names)"""


def write_report(fitted, path):
    """Write the report.

    Args:
        fitted: Fitted.
        path: str or Path of the page.

    Returns:
        Path of the page.
    """
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    facts = fitted.facts
    parts = [
        _verdict(facts),
        section("Your images", about_images(fitted)),
        section("How good is it?", about_test(fitted)),
        section("When can you trust an answer?", _trust(facts)),
        section("Which way of learning?", _strategy(facts)),
        section("Would more images help?", _curve(facts)),
        section("Which network?", _choice(facts)),
        section("Where you will use it", _shift(fitted)),
        section("What does it cost to run?", paragraph(reasons.about_costs(facts))),
        section("Use it", _use(fitted)),
        section("How this was done", _method(facts)),
    ]
    name = fitted.inspection.folder.resolve().name
    page = string.Template(template).substitute(
        title=escape(f"A classifier for “{name}”"),
        subtitle=escape(_subtitle(fitted)),
        sections="\n".join(parts),
    )
    write_text(path, page)
    return Path(path)


def _subtitle(fitted):
    names = fitted.inspection.class_names
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"It tells {len(names)} classes apart: {shown}."


def _verdict(facts):
    test = facts["test"]
    low, high = (wording.percent(x) for x in test["interval"])
    is_bad = not wording.beats_guessing(facts)
    return (
        f'<div class="verdict{" bad" if is_bad else ""}">'
        f'<div class="big">{wording.percent(test["right"] / test["num"])} right</div>'
        f'<div class="range">95% interval: {low} to {high}</div>\n'
        + paragraph(wording.headline(facts))
        + paragraph(wording.advice(facts))
        + "</div>"
    )


def _trust(facts):
    rows = [
        f'<tr><td class="nowrap">about {wording.percent(one["confidence"])}</td>'
        f"<td>{one['num']}</td><td>"
        f"{wording.share_of(round(one['accuracy'] * one['num']), one['num'])}</td></tr>"
        for one in facts["trust"]["bins"]
    ]
    return (
        paragraph(wording.about_trust(facts))
        + '<div class="scroll"><table><tr><th>when it says<th>images<th>it was right'
        + f"</tr>{''.join(rows)}</table></div>\n"
    )


def _strategy(facts):
    found = facts["strategies"]
    held, number = facts["curve"]["held"], facts["data"]["train"]
    names = {"guess": "always the commonest class", "probe": "probe"}
    rows = []
    for key, name in names.items():
        right = round(float(np.dot(found[key], held)))
        rows.append((name, right / number, *binomial_interval(right, number)))
    if "both" in found:
        scores = found["both"]["fine-tuning"]
        tested = sum(held[: len(scores)])
        right = round(float(np.dot(scores, held[: len(scores)])))
        interval = binomial_interval(right, tested)
        rows.append(("fine-tuning", right / tested, *interval))
    text = paragraph(reasons.about_strategy(facts)) + drawing.bars(rows)
    return text + paragraph(
        "Right answers on images to learn from, each asked of a model that had not "
        "seen it. What was chosen because it led here looks a little better than it "
        "is; the test above decides.",
        "soft",
    )


def _curve(facts):
    found = facts["curve"]
    text = paragraph(reasons.about_forecast(facts))
    if not found["sizes"]:
        return text
    number = sum(found["held"])
    measured = []
    for size, wrong in zip(found["sizes"], found["wrong"], strict=True):
        right = number - sum(wrong)
        measured.append((size, right / number, *binomial_interval(right, number)))
    foretold = [
        (one["factor"] * measured[-1][0], one["accuracy"], one["low"], one["high"])
        for one in facts["forecasts"]
        if not one["reason"]
    ]
    caption = "Full dots are measured, with their intervals"
    caption += "; hollow ones are the forecast." if foretold else "."
    return text + drawing.curve(measured, foretold) + paragraph(caption, "soft")


def _choice(facts):
    probed, number = facts["choice"]["probed"], facts["data"]["train"]
    held = facts["curve"]["held"]
    rows = []
    for one in facts["choice"]["ranks"]:
        right = "not tried"
        if one["name"] in probed:
            num_right = round(float(np.dot(probed[one["name"]], held)))
            right = wording.share_of(num_right, number)
        score = f"{one['score']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        name = escape(one["name"])
        rows.append(f"<tr><td>{name}</td><td>{score}</td><td>{right}</td></tr>")
    return (
        paragraph(reasons.about_choice(facts))
        + '<div class="scroll"><table><tr><th>candidate<th>LogME'
        + f"<th>a probe was right</tr>{''.join(rows)}</table></div>\n"
        + paragraph(
            "LogME asks, without training, how well the features explain your labels "
            "(higher is better); the candidates it put first were then tried out on "
            "images held out from those to learn from.",
            "soft",
        )
    )


def _shift(fitted):
    facts, shift = fitted.facts, fitted.facts["shift"]
    text = paragraph(reasons.about_shift(facts))
    if not shift:
        return text
    if shift["broken"]:
        text += listed("Files there that cannot be read", shift["broken"])
    if "shares" not in shift:
        return text
    names = fitted.inspection.class_names
    has_more = shift["reason"] == "adapted"
    rows = []
    for label in np.argsort(shift["shares"])[::-1][:MAX_ROWS].tolist():
        more = f"<td>{shift['adapted shares'][label]:.0%}</td>" if has_more else ""
        rows.append(
            f"<tr><td>{escape(names[label])}</td>"
            f"<td>{shift['shares'][label]:.0%}</td>{more}</tr>"
        )
    head = "<th>adapted model" if has_more else ""
    return (
        text
        + '<div class="scroll"><table><tr><th>what it answers there<th>model.keras'
        + f"{head}</tr>{''.join(rows)}</table></div>"
    )


def _use(fitted):
    return (
        paragraph(
            f"{fitted.model_path.name} lies beside this page. It takes images of any "
            "size and gives the names of your classes:"
        )
        + f"<pre><code>{escape(USE)}</code></pre>"
    )


def _method(facts):
    folds = len(facts["curve"]["held"])
    return paragraph(
        f"Everything was chosen on the images to learn from, by {folds} parts of which "
        "each was held out once; the test images were asked once, at the end. Images "
        "were only read, never changed. The same folder gives the same report again. "
        "Sources: LogME arXiv:2102.11005; power laws arXiv:1712.00409; temperature "
        "arXiv:1706.04599; intervals of Wilson, "
        "doi:10.1080/01621459.1927.10502953, and "
        "of Nadeau and Bengio, doi:10.1023/A:1024068626366; AdaBN arXiv:1603.04779.",
        "soft",
    )
