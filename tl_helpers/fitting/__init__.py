"""A folder of one's own images -> a model, and what can honestly be said of it."""

from tl_helpers.fitting.answering import PictureClassifier, picture_classifier
from tl_helpers.fitting.curves import Forecast, forecast
from tl_helpers.fitting.inspecting import Inspection, inspect_folder
from tl_helpers.fitting.page import write_report
from tl_helpers.fitting.run import Fitted, fit_folder
from tl_helpers.fitting.trust import choose_trust_threshold
from tl_helpers.fitting.wording import advice, headline

__all__ = [
    "Fitted",
    "Forecast",
    "Inspection",
    "PictureClassifier",
    "advice",
    "choose_trust_threshold",
    "fit_folder",
    "forecast",
    "headline",
    "inspect_folder",
    "picture_classifier",
    "write_report",
]
