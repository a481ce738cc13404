"""One look for every plot."""

import matplotlib.pyplot as plt

MARKERS = "osD^vPX*<>"
GREY = "0.45"


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
