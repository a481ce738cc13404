"""Networks without their classifier, by name: bundled, Keras Applications, TF Hub."""

from tl_helpers.backbones.applications import Application
from tl_helpers.backbones.backbone import Backbone
from tl_helpers.backbones.hub import HubLayer, export_module
from tl_helpers.backbones.loading import load, names

__all__ = ["Application", "Backbone", "HubLayer", "export_module", "load", "names"]
