"""One look for every plot."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tl_helpers.inputs import check_kind

MARKERS = "osD^vPX*<>"
GREY = "0.45"


def axes_or_new(axis, **settings):
    """Return the given Axes, or new ones where it is None.

    Args:
        axis: matplotlib Axes, or None.
        **settings: of a new figure, as for `plt.subplots`.

    Raises:
        ValueError: something else.
    """
    if axis is None:
        return plt.subplots(**settings)[1]
    check_kind(Axes, axis=axis)
    return axis


def marker(place):
    """Return another marker when the ten colours begin again."""
    return MARKERS[(place + place // 10) % len(MARKERS)]


def use_style():
    """Set the course's look: colour-blind-safe colours, quiet axes, sharp text."""
    plt.style.use("petroff10")
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.figsize": (6.4, 3.8),
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "0.9",
            "legend.frameon": False,
            "lines.markersize": 6,
            "font.size": 10.5,
        }
    )
