"""The tables of attacking.py, from its results."""

from tl_helpers import evaluation

KINDS = ("unseen classes", "cartoons", "magnetic tiles", "digits")


def table(runs):
    """Return Markdown: mean and deviation over the seeds.

    Args:
        runs: list of dict, one a seed.

    Returns:
        str.
    """
    parts = (left, transferred, strangers, unnoticed, guarded, members, calibrated)
    return "\n\n".join(part(runs) for part in parts)


def cell(runs, key):
    """Return '81.3 ± 1.2', in percent."""
    return str(evaluation.summarise([run[key] for run in runs])).removesuffix(" %")


def against(runs, key, other):
    """Return '+3.1 (+1.2 to +5.0)', points between two numbers of the same runs."""
    sides = [[run[k] for run in runs] for k in (key, other)]
    return str(evaluation.compare_paired(*sides)).replace(" points", "")


def rows_of(header, lines):
    """Return a Markdown table."""
    return "\n".join(
        "| " + " | ".join(line) + " |"
        for line in (header, ["---"] * len(header), *lines)
    )


def left(runs):
    """Right answers after attacks with the network's weights."""
    lines = []
    for name in ("probe", "fine-tuned"):
        for attack in ("noise", "FGSM", "PGD"):
            keys = [f"left: {name}: nothing: 0"]
            keys += [f"left: {name}: {attack}: {budget}" for budget in (1, 2, 4, 8)]
            lines.append([f"{name}, {attack}", *(cell(runs, key) for key in keys)])
    return rows_of(["right after an attack of", "0", "1", "2", "4", "8"], lines)


def transferred(runs):
    """Right answers after attacks by one who never had the network."""
    victims = ("probe", "fine-tuned", "other ancestor")
    start = "transferred: "
    attacks = [
        key[len(start) : -len(": probe")]
        for key in runs[0]
        if key.startswith(start) and key.endswith(": probe")
    ]
    lines = [
        [attack, *(cell(runs, f"{start}{attack}: {x}") for x in victims)]
        for attack in attacks
    ]
    for control in ("noise", "twin's features"):
        keys = [
            [f"{start}{x}: {v}" for x in ("backbone's features", control)]
            for v in victims
        ]
        lines.append(
            [f"features over {control}, points", *(against(runs, *x) for x in keys)]
        )
    return rows_of(["made without the victim", *victims], lines)


def strangers(runs):
    """AUROC and FPR of each score."""
    end = f": {KINDS[0]}"
    names = [
        key[len("AUROC: ") : -len(end)]
        for key in runs[0]
        if key.startswith("AUROC: ") and key.endswith(end)
    ]
    lines = [
        [
            name,
            *(
                f"{cell(runs, f'AUROC: {name}: {kind}')} "
                f"({cell(runs, f'FPR: {name}: {kind}').split()[0]})"
                for kind in KINDS
            ),
        ]
        for name in names
    ]
    return rows_of(["AUROC (FPR at 95% TPR)", *KINDS], lines)


def unnoticed(runs):
    """Answers that are wrong and unnoticed."""
    detectors = ("no detector", "Mahalanobis", "squeezing", "both")
    attacks = "noise", "PGD", "PGD that knows squeezing", "PGD that knows both"
    lines = [
        [attack, *(cell(runs, f"unnoticed: {attack}: {x}") for x in detectors)]
        for attack in attacks
    ]
    flagged = [cell(runs, f"flagged: untouched: {x}") for x in detectors[1:]]
    lines.append(["untouched, flagged", "", *flagged])
    for attack in attacks[1:]:
        apart = [cell(runs, f"AUROC: {x}: {attack}") for x in detectors[1:3]]
        lines.append([f"AUROC, {attack}", "", *apart, ""])
    return rows_of(["wrong and unnoticed", *detectors], lines)


def guarded(runs):
    """Training on attacks beside training on noise."""
    columns = ("untouched", "PGD 1", "PGD 2", "PGD 4")
    names = ("fine-tuned", "on noise", "on attacks")
    lines = [
        [name, *(cell(runs, f"guarded: {name}: {x}") for x in columns)]
        for name in names
    ]
    for name in names[:2]:
        keys = [[f"guarded: {n}: {x}" for n in ("on attacks", name)] for x in columns]
        lines.append(
            [f"attacks over {name}, points", *(against(runs, *x) for x in keys)]
        )
    faults = ", ".join(f"{run['faults']:.0f}" for run in runs)
    return rows_of(["right", *columns], lines) + f"\n\nSigns of hiding: {faults}."


def members(runs):
    """What a network tells of its training images."""
    start = "member AUC: "
    names = [key[len(start) :] for key in runs[0] if key.startswith(start)]
    lines = [
        [name, *(cell(runs, f"member {x}: {name}") for x in ("AUC", "gap", "found"))]
        for name in names
    ]
    return rows_of(["membership", "AUC", "gap", "found at 1% false alarms"], lines)


def calibrated(runs):
    """How sure and how right, as sentences."""
    lines = [f"Accuracy: probe {cell(runs, 'accuracy: probe')}, "]
    lines[0] += f"fine-tuned {cell(runs, 'accuracy: fine-tuned')}."
    for place in ("photo", "cartoon"):
        for name in ("as trained", "temperature"):
            sure, error = (
                cell(runs, f"{x}: {place}: {name}") for x in ("sure", "error")
            )
            lines.append(f"{place}, {name}: {sure} sure, error {error}.")
        lines.append(f"{place}: right {cell(runs, f'right: {place}')}.")
    values = ", ".join(f"{run['temperature']:.2f}" for run in runs)
    return "\n".join([*lines, f"Temperatures {values}."])
