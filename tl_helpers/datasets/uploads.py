"""One picture of one's own: from a button, from a path, or one that stands in."""

import os
import sys
import tempfile
from pathlib import Path

from tl_helpers import profiles
from tl_helpers.datasets.decoding import decode_image
from tl_helpers.inputs import check_kind, check_whole

ASK = "upload"  # for a path: let Colab ask for a file


def upload_button():
    """Show a button that takes a picture, where somebody can press it.

    It does not wait: the cell ends at once, and a later one reads what was chosen.

    Returns:
        ipywidgets.FileUpload, shown below the cell; None where cells run without a
        person to press it, or without Jupyter or ipywidgets.
    """
    if not _can_ask():
        return None
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        return None
    button = ipywidgets.FileUpload(accept="image/*", description="Your picture")
    display(button)
    return button


def own_picture(path=None, button=None, size_px=64):
    """Read a picture: that of a path, else that of a button, else a stand-in.

    Args:
        path: str or Path of an image file; "upload" on Colab, which then asks for one
            and waits; None for the button's.
        button: what `upload_button` returned.
        size_px: int >= 1; the centre square of the picture is resized to it.

    Returns:
        (pixels, name): uint8 (1, size_px, size_px, 3), RGB, [0, 255], and the name of
        the file. Where nothing was chosen, it is a flower from scikit-learn.

    Raises:
        ValueError: no image, something else than a path or a button, or "upload"
            outside Colab or without a file.
    """
    check_kind(str, os.PathLike, type(None), path=path)
    check_whole(1, size_px=size_px)
    name, content = _uploaded(button)
    if path == ASK:
        name, content = _asked_on_colab()
    elif path is not None:
        return decode_image(path, size_px)[None], Path(path).name
    if content is None:
        import sklearn.datasets

        stand_in = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
        return decode_image(stand_in, size_px)[None], stand_in.name
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(name).name
        copy.write_bytes(content)
        return decode_image(copy, size_px)[None], copy.name


def _can_ask():
    """Whether this is a notebook whose front end lets cells ask a person."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    # as for `input()`: nbclient and nbval, which run notebooks alone, say no
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def _uploaded(button):
    """Return (name, bytes) of the last file of a button; (None, None) for none."""
    if button is None:
        return None, None
    files = getattr(button, "value", button)
    if isinstance(files, dict):  # ipywidgets 7, as on Colab: {name: facts}
        files = [{"name": name, **facts} for name, facts in files.items()]
    if not isinstance(files, tuple | list) or files is button:
        raise ValueError(
            f"Got button of type {type(button).__name__}, expected what upload_button "
            "returned; leave it out for a path."
        )
    return (files[-1]["name"], bytes(files[-1]["content"])) if files else (None, None)


def _asked_on_colab():
    """Return (name, bytes) of a file that Colab asked for."""
    if not profiles.is_colab():
        raise ValueError(
            f"Got path={ASK!r} outside Colab, expected a path here; give the path of a "
            "picture, or press the button."
        )
    from google.colab import files

    chosen = files.upload()
    if not chosen:
        raise ValueError("Got no file, expected a picture; run the cell again.")
    return next(iter(chosen.items()))
