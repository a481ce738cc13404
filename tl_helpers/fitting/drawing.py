"""Small charts and pictures that stand inside a page, as text."""

import base64
import io
import math
from html import escape

from PIL import Image

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 12, 42
ROW = 46
PICTURE_PX = 132


def picture(pixels):
    """Return an image as a data address.

    Args:
        pixels: uint8 (height, width, 3), RGB, [0, 255].

    Returns:
        str, for the `src` of an `img`.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def bars(rows):
    """Draw shares as bars with their intervals, one below the other.

    Args:
        rows: list of (name, share, low, high), in [0, 1].

    Returns:
        str, an SVG.
    """
    height = ROW * len(rows) + 26
    parts = [_svg(height, "Shares of right answers with their intervals")]
    span = WIDTH - 6  # room for a dot
    for row, (name, share, low, high) in enumerate(rows):
        y = ROW * row + 22
        text = f"{100 * share:.0f}% ({100 * low:.0f} to {100 * high:.0f})"
        parts.append(f'<text x="0" y="{y - 6}">{escape(name)}</text>')
        parts.append(f'<text x="{WIDTH}" y="{y - 6}" text-anchor="end">{text}</text>')
        parts.append(_rect(0, y, span, 14, "var(--card)"))
        parts.append(_rect(0, y, span * share, 14, "var(--bar)"))
        parts.append(_line(span * low, y + 7, span * high, y + 7, width=3))
        parts.append(_dot(span * share, y + 7))
    parts.append(f'<text class="soft" x="0" y="{height - 4}">0%</text>')
    parts.append(
        f'<text class="soft" x="{span}" y="{height - 4}" text-anchor="end">100%</text>'
    )
    return "".join([*parts, "</svg>"])


def curve(measured, foretold):
    """Draw a learning curve; the number of images is on a logarithmic axis.

    Args:
        measured: list of (images, share, low, high), shares in [0, 1], rising.
        foretold: the same for forecasts; may be empty.

    Returns:
        str, an SVG.
    """
    every = [*measured, *foretold]
    low_end = math.floor(10 * min(one[2] for one in every)) / 10
    first, last = math.log(every[0][0]), math.log(every[-1][0])

    def x(number):
        share = (math.log(number) - first) / max(last - first, 1e-9)
        return LEFT + 16 + share * (WIDTH - LEFT - RIGHT - 32)

    def y(share):
        height = HEIGHT - TOP - BOTTOM
        return TOP + (1 - share) / max(1 - low_end, 1e-9) * height

    parts = [_svg(HEIGHT, "Share of right answers against images to learn from")]
    for tick in _ticks(low_end):
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "var(--line)", 1))
        parts.append(_label(LEFT - 6, y(tick) + 4, f"{100 * tick:.0f}%", "end"))
    for number, share, low, high in measured:
        parts.append(_line(x(number), y(low), x(number), y(high), width=3))
        parts.append(_dot(x(number), y(share)))
        parts.append(_label(x(number), HEIGHT - 22, f"{number:.0f}"))
    for number, share, low, high in foretold:
        line = _line(x(number), y(low), x(number), y(high), "var(--soft)", 3)
        parts.append(line.replace("/>", ' stroke-dasharray="5 4"/>'))
        parts.append(_dot(x(number), y(share), hollow=True))
        parts.append(_label(x(number), HEIGHT - 22, f"{number:.0f}"))
    parts.append(_label((LEFT + WIDTH) / 2, HEIGHT - 4, "images to learn from"))
    return "".join([*parts, "</svg>"])


def _ticks(low_end):
    step = 0.1 if low_end >= 0.5 else 0.2
    number = round((1 - low_end) / step)
    return [1 - step * i for i in range(number + 1) if 1 - step * i >= low_end - 1e-9]


def _svg(height, title):
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    )


def _rect(x, y, width, height, colour):
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" '
        f'rx="3" fill="{colour}"/>'
    )


def _line(x0, y0, x1, y1, colour="var(--blue)", width=2):
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _dot(x, y, hollow=False):
    fill = "var(--paper)" if hollow else "var(--blue)"
    edge = "var(--soft)" if hollow else "var(--blue)"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{edge}" '
        'stroke-width="2"/>'
    )


def _label(x, y, text, anchor="middle"):
    return (
        f'<text class="soft" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
