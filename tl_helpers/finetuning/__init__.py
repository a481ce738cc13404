"""Fine-tuning: a head, what may move and how fast, the recipe, adapters."""

from tl_helpers.finetuning.adapters import (
    AdapterSize,
    adapter_size,
    load_adapter,
    save_adapter,
    train_only,
)
from tl_helpers.finetuning.block_rates import BlockRates
from tl_helpers.finetuning.bottlenecks import add_bottlenecks
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
from tl_helpers.finetuning.lora import add_lora, merge_lora
from tl_helpers.finetuning.penalties import l2_sp
from tl_helpers.finetuning.recipe import Stage, fine_tune, stages_of

__all__ = [
    "AdapterSize",
    "BlockRates",
    "Classifier",
    "Forgetting",
    "Stage",
    "adapter_size",
    "add_bottlenecks",
    "add_lora",
    "classifier",
    "fine_tune",
    "forgetting",
    "freeze",
    "l2_sp",
    "layer_rates",
    "load_adapter",
    "merge_lora",
    "parts",
    "save_adapter",
    "stages_of",
    "start_from_probe",
    "thaw",
    "train_only",
]
