"""What a fitting found -> one page, with its pictures inside, for a phone or a desk."""

import string
from html import escape
from pathlib import Path

import numpy as np

from tl_helpers.evaluation import binomial_interval
from tl_helpers.fitting import drawing, wording
from tl_helpers.storage import write_text

MAX_NAMED = 40  # files in a list
MAX_EXAMPLES, MAX_MISTAKES = 12, 12
MAX_TABLE = 12  # classes of a table of confusions
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
        _section("Your images", _data(fitted)),
        _section("How good is it?", _test(fitted)),
        _section("When can you trust an answer?", _trust(facts)),
        _section("Which way of learning?", _strategy(facts)),
        _section("Would more images help?", _curve(facts)),
        _section("Which network?", _choice(facts)),
        _section("Where you will use it", _shift(fitted)),
        _section("What does it cost to run?", _paragraph(wording.about_costs(facts))),
        _section("Use it", _use(fitted)),
        _section("How this was done", _method(facts)),
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


def _section(title, content):
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>"


def _paragraph(text, kind=""):
    return f"<p{_kind(kind)}>{escape(text)}</p>\n" if text else ""


def _kind(kind):
    return f' class="{kind}"' if kind else ""


def _verdict(facts):
    test = facts["test"]
    low, high = (wording.percent(x) for x in test["interval"])
    is_bad = not wording.beats_guessing(facts)
    return (
        f'<div class="verdict{" bad" if is_bad else ""}">'
        f'<div class="big">{wording.percent(test["right"] / test["num"])} right</div>'
        f'<div class="range">95% interval: {low} to {high}</div>\n'
        + _paragraph(wording.headline(facts))
        + _paragraph(wording.advice(facts))
        + "</div>"
    )


def _data(fitted):
    found, facts = fitted.inspection, fitted.facts
    text = _paragraph(wording.about_sets(facts)) + _examples(fitted.train)
    text += _classes(fitted)
    text += _paragraph(wording.about_balance(facts))
    text += _paragraph(wording.about_few(facts))
    return text + _paragraph(_sizes(found.sizes), "soft") + _faults(found)


def _sizes(sizes):
    shown = {name: f"{size[0]} × {size[1]}" for name, size in sizes.items()}
    if shown["smallest"] == shown["largest"]:
        return f"All images have {shown['median']} px."
    return (
        f"The middle one of all sizes is {shown['median']} px; the smallest image has "
        f"{shown['smallest']}, the largest {shown['largest']}."
    )


def _faults(found):
    """Name every file that was not used, and why."""
    pairs = [f"{other} (same picture as {one})" for one, other in found.copies]
    leaks = [f"{other} (same picture as {one})" for one, other in found.leaks]
    torn = [" = ".join(names) for names in found.contradictions]
    broken = [f"{name}: {why}" for name, why in found.broken.items()]
    classes = [f"{name}: {why}" for name, why in found.left_out.items()]
    lists = (
        ("Classes left out: too few images", classes),
        ("Files that cannot be read", broken),
        ("One picture in several classes, so not used: decide which is right", torn),
        ("Images to learn from that are also in the test folder, so not used", leaks),
        ("The same picture again in its class, so not used", pairs),
        ("Files outside of the class folders", found.loose),
        ("Further warnings", found.notes),
    )
    text = "".join(_listed(title, names) for title, names in lists if names)
    if not text:
        return _paragraph(
            "Every file could be read, and no picture was found twice.", "soft"
        )
    return _paragraph("Not everything could be used:") + text


def _listed(title, names):
    shown = "".join(f"<li>{escape(name)}</li>" for name in names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        shown += f"<li>and {len(names) - MAX_NAMED} more</li>"
    return (
        f"<details><summary>{escape(title)} ({len(names)})</summary>"
        f"<ul>{shown}</ul></details>\n"
    )


def _examples(images):
    figures = []
    for label, name in enumerate(images.class_names[:MAX_EXAMPLES]):
        row = int(np.flatnonzero(images.labels == label)[0])
        figures.append(_figure(images, row, escape(name)))
    return f'<div class="pictures">{"".join(figures)}</div>\n'


def _figure(images, row, caption):
    pixels = images.resized(drawing.PICTURE_PX).pixels([row])[0]
    return (
        f'<figure><img alt="" src="{drawing.picture(pixels)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _classes(fitted):
    """Return a table with a row for each class."""
    confusion = np.array(fitted.facts["test"]["confusion"])
    rows = []
    for label, name in enumerate(fitted.inspection.class_names):
        tested = int(confusion[label].sum())
        learnt = fitted.facts["data"]["train counts"][name]
        files = fitted.inspection.counts[name]["files"]
        right = (
            wording.share_of(int(confusion[label, label]), tested) if tested else "-"
        )
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{files}</td><td>{learnt}</td>"
            f'<td>{tested}</td><td class="nowrap">{right}</td></tr>'
        )
    return (
        '<div class="scroll"><table><tr><th>class<th>files<th>to learn<th>to test'
        f"<th>right in the test</tr>{''.join(rows)}</table></div>\n"
    )


def _test(fitted):
    test = fitted.facts["test"]
    answers = fitted.probabilities.argmax(axis=1)
    is_wrong = np.flatnonzero(answers != fitted.test.labels)
    text = _paragraph(
        f"The range in brackets behind a number is its 95% interval: with other test "
        f"images of the same kind the share would lie there nearly always. It is about "
        f"{test['num']} test images, which no choice has seen."
    )
    if not len(is_wrong):
        return text + _paragraph("Not one test image was mistaken.")
    return text + _confusions(fitted) + _mistakes(fitted, answers, is_wrong)


def _confusions(fitted):
    counts = np.array(fitted.facts["test"]["confusion"])
    names = fitted.inspection.class_names
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:3]
    worst = [np.unravel_index(place, counts.shape) for place in order]
    told = [
        f"{names[true]} for {names[said]} ({mistakes[true, said]})"
        for true, said in worst
        if mistakes[true, said]
    ]
    text = _paragraph(f"Mistaken most often: {', '.join(told)}.")
    if len(names) > MAX_TABLE:
        return text
    heads = "".join(f"<th>{i + 1}" for i in range(len(names)))
    rows = [
        f"<tr><td>{i + 1} {escape(name)}</td>{_cells(counts[i], i)}</tr>"
        for i, name in enumerate(names)
    ]
    return (
        text
        + '<div class="scroll"><table class="confusion">'
        + f"<tr><th>true, and the answer:{heads}</tr>{''.join(rows)}"
        + "</table></div>"
    )


def _cells(counts, own):
    total, cells = max(1, counts.sum()), []
    for place, count in enumerate(counts.tolist()):
        colour = "--good" if place == own else "--bad"
        strength = round(70 * count / total)
        shade = f"color-mix(in srgb, var({colour}) {strength}%, transparent)"
        cells.append(f'<td style="background: {shade}">{count or "·"}</td>')
    return "".join(cells)


def _mistakes(fitted, answers, is_wrong):
    """Show the mistakes of which the model was surest."""
    sure = fitted.probabilities.max(axis=1)
    rows = is_wrong[np.argsort(-sure[is_wrong], kind="stable")][:MAX_MISTAKES]
    names, figures = fitted.inspection.class_names, []
    for row in rows.tolist():
        caption = (
            f'<span class="wrong">{escape(names[answers[row]])}, {sure[row]:.0%}</span>'
            f"<br>is {escape(names[fitted.test.labels[row]])}"
        )
        figures.append(_figure(fitted.test, row, caption))
    return (
        _paragraph(
            "These are the mistakes of which it was surest. If a label is wrong here, "
            "it is likely wrong elsewhere, too."
        )
        + f'<div class="pictures">{"".join(figures)}</div>\n'
    )


def _trust(facts):
    rows = [
        f'<tr><td class="nowrap">about {wording.percent(one["confidence"])}</td>'
        f"<td>{one['num']}</td><td>"
        f"{wording.share_of(round(one['accuracy'] * one['num']), one['num'])}</td></tr>"
        for one in facts["trust"]["bins"]
    ]
    return (
        _paragraph(wording.about_trust(facts))
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
    text = _paragraph(wording.about_strategy(facts)) + drawing.bars(rows)
    return text + _paragraph(
        "Right answers on images to learn from, each asked of a model that had not "
        "seen it.",
        "soft",
    )


def _curve(facts):
    found = facts["curve"]
    text = _paragraph(wording.about_forecast(facts))
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
    return text + drawing.curve(measured, foretold) + _paragraph(caption, "soft")


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
        _paragraph(wording.about_choice(facts))
        + '<div class="scroll"><table><tr><th>candidate<th>LogME'
        + f"<th>a probe was right</tr>{''.join(rows)}</table></div>\n"
        + _paragraph(
            "LogME asks, without training, how well the features explain your labels "
            "(higher is better); the candidates it put first were then tried out on "
            "images held out from those to learn from.",
            "soft",
        )
    )


def _shift(fitted):
    facts, shift = fitted.facts, fitted.facts["shift"]
    text = _paragraph(wording.about_shift(facts))
    if not shift:
        return text
    if shift["broken"]:
        text += _listed("Files there that cannot be read", shift["broken"])
    if "shares" not in shift:
        return text
    names = fitted.inspection.class_names
    has_more = shift["reason"] == "adapted"
    rows = []
    for label in np.argsort(shift["shares"])[::-1][:MAX_TABLE].tolist():
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
        _paragraph(
            f"{fitted.model_path.name} lies beside this page. It takes images of any "
            "size and gives the names of your classes:"
        )
        + f"<pre><code>{escape(USE)}</code></pre>"
    )


def _method(facts):
    folds = len(facts["curve"]["held"])
    return _paragraph(
        f"Everything was chosen on the images to learn from, by {folds} parts of which "
        "each was held out once; the test images were asked once, at the end. Images "
        "were only read, never changed. The same folder gives the same report again. "
        "Sources: LogME arXiv:2102.11005; power laws arXiv:1712.00409; temperature "
        "arXiv:1706.04599; intervals of Wilson, "
        "doi:10.1080/01621459.1927.10502953, and "
        "of Nadeau and Bengio, doi:10.1023/A:1024068626366; AdaBN arXiv:1603.04779.",
        "soft",
    )
