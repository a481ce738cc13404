"""The parts of a report that show images: what was given, and what was mistaken."""

from html import escape

import numpy as np

from tl_helpers.fitting import wording
from tl_helpers.fitting.markup import figure, listed, paragraph

MAX_EXAMPLES, MAX_MISTAKES = 12, 12
MAX_TABLE = 12  # classes of a table of confusions


def about_images(fitted):
    """Return the HTML on the images that were given, used and not used."""
    found, facts = fitted.inspection, fitted.facts
    text = paragraph(wording.about_sets(facts)) + _examples(fitted.train)
    text += _classes(fitted)
    text += paragraph(wording.about_balance(facts))
    text += paragraph(wording.about_few(facts))
    return text + paragraph(_sizes(found.sizes), "soft") + _faults(found)


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
    text = "".join(listed(title, names) for title, names in lists if names)
    if not text:
        return paragraph(
            "Every file could be read, and no picture was found twice.", "soft"
        )
    return paragraph("Not everything could be used:") + text


def _examples(images):
    figures = []
    for label, name in enumerate(images.class_names[:MAX_EXAMPLES]):
        row = int(np.flatnonzero(images.labels == label)[0])
        figures.append(figure(images, row, escape(name)))
    return f'<div class="pictures">{"".join(figures)}</div>\n'


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


def about_test(fitted):
    """Return the HTML on the test: what was taken for what, and the worst mistakes."""
    test = fitted.facts["test"]
    answers = fitted.probabilities.argmax(axis=1)
    is_wrong = np.flatnonzero(answers != fitted.test.labels)
    text = paragraph(
        f"The range in brackets behind a number is its 95% interval: with other test "
        f"images of the same kind the share would lie there nearly always. It is about "
        f"{test['num']} test images, which no choice has seen."
    )
    if not len(is_wrong):
        return text + paragraph("Not one test image was mistaken.")
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
    text = paragraph(f"Mistaken most often: {', '.join(told)}.")
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
        figures.append(figure(fitted.test, row, caption))
    return (
        paragraph(
            "These are the mistakes of which it was surest. If a label is wrong here, "
            "it is likely wrong elsewhere, too."
        )
        + f'<div class="pictures">{"".join(figures)}</div>\n'
    )
