"""Fine-tuning: a head, what may move and how fast, the recipe, what keeps it near."""

from tl_helpers.finetuning.block_rates import BlockRates
from tl_helpers.finetuning.classifier import (
    Classifier,
    classifier,
    freeze,
    layer_rates,
    parts,
    start_from_probe,
    thaw,
)
from tl_helpers.finetuning.forgetting import Forgetting, forgetting
from tl_helpers.finetuning.penalties import l2_sp
from tl_helpers.finetuning.recipe import Stage, fine_tune, stages_of

__all__ = [
    "BlockRates",
    "Classifier",
    "Forgetting",
    "Stage",
    "classifier",
    "fine_tune",
    "forgetting",
    "freeze",
    "l2_sp",
    "layer_rates",
    "parts",
    "stages_of",
    "start_from_probe",
    "thaw",
]
