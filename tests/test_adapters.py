"""Cheap adapters: what is frozen stays, merging changes nothing, tasks come back."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import moved, pixels, tiny_backbone, tiny_images, values_of

from tl_helpers.finetuning import (
    adapter_size,
    add_bottlenecks,
    add_lora,
    classifier,
    freeze,
    load_adapter,
    merge_lora,
    save_adapter,
    thaw,
    train_only,
)
from tl_helpers.saving import load_model, save_model
from tl_helpers.training import predict_logits

IMAGES = pixels(6, 8, 8)
HEAD = {"head_logits/kernel", "head_logits/bias"}


def start(num_classes=2, seed=0):
    keras.utils.set_random_seed(seed)
    return classifier(tiny_backbone(), num_classes)


def fit(model, seed=0, flip=False):
    """Train far enough that whatever may move has moved."""
    keras.utils.set_random_seed(seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, run_eagerly=True)
    images = tiny_images(seed=seed)
    labels = 1 - images.labels if flip else images.labels
    model.fit(images.pixels(), labels, batch_size=8, epochs=2, verbose=0)
    return model


def with_lora(rank=2, **settings):
    model = start(**settings)
    add_lora(model, rank)
    return model


def with_bottlenecks():
    return add_bottlenecks(start(), 2)


def with_batch_norm():
    model = start()
    train_only(model, "batch_norm")
    return model


def with_thawed_statistics():
    model = start()
    thaw(model, "block2", batch_norm=True)
    return model


MADE = {
    "lora": with_lora,
    "bottlenecks": with_bottlenecks,
    "batch_norm": with_batch_norm,
    "thawed": with_thawed_statistics,
}


# --- What learns ------------------------------------------------------------------


@pytest.mark.parametrize(
    "part, learning",
    [
        ("head", set()),
        (
            "batch_norm",
            {
                f"block{i}_norm/{name}"
                for i in (1, 2)
                for name in ("gamma", "beta", "moving_mean", "moving_variance")
            },
        ),
        (
            "bias",
            {f"block{i}_conv/bias" for i in (1, 2)}
            | {
                f"block{i}_norm/{name}"
                for i in (1, 2)
                for name in ("beta", "moving_mean", "moving_variance")
            },
        ),
    ],
)
def test_train_only_moves_that_part_and_no_other_bit(part, learning):
    model = start()
    train_only(model, part)
    before = values_of(model)
    found = moved(before, fit(model))
    # a bias before batch normalisation by the batch has no effect, so no gradient
    assert learning - {"block1_conv/bias", "block2_conv/bias"} <= found - HEAD
    assert found <= learning | HEAD


def test_train_only_is_undone_by_freeze_and_thaw():
    model = start()
    thaw(model, "block1")
    wanted = [x.path for x in model.trainable_weights]
    train_only(model, "bias")
    assert [x.path for x in model.trainable_weights] != wanted
    thaw(model, "block1")
    assert [x.path for x in model.trainable_weights] == wanted
    freeze(model)
    assert {x.path for x in model.trainable_weights} == HEAD


def test_train_only_refuses_blocks_without_such_weights():
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, use_bias=False, name="block1")(images)
    backbone = tiny_backbone()
    bare = type(backbone)(
        "bare", keras.Model(images, maps), {"block1": "block1"}, backbone.provenance
    )
    for part in ("batch_norm", "bias"):
        with pytest.raises(ValueError, match=f"expected some for part='{part}'"):
            train_only(classifier(bare, 2), part)


def test_fit_refuses_single_weights_frozen_after_compile():
    """Trap 2, inside a layer that learns before and after."""
    model = start()
    thaw(model, "block1")
    fit(model)
    model.get_layer("block1_conv").kernel.trainable = False
    with pytest.raises(
        ValueError, match="the kernel of block1_conv changed .* compile"
    ):
        model.fit(tiny_images().batches(8), verbose=0)


# --- LoRA -------------------------------------------------------------------------


def test_lora_starts_at_the_same_predictions_and_says_who_got_it():
    model = start()
    before = predict_logits(model, IMAGES)
    assert add_lora(model, 2) == ("block1_conv", "block2_conv")
    np.testing.assert_array_equal(predict_logits(model, IMAGES), before)
    model = start()
    assert add_lora(model, 2, "block2") == ("block2_conv",)


def test_lora_moves_its_factors_and_the_head_and_no_other_bit():
    model = with_lora()
    before = values_of(model)
    factors = {f"block{i}_conv/lora_kernel_{x}" for i in (1, 2) for x in "ab"}
    assert moved(before, fit(model)) == factors | HEAD


def test_predictions_traced_before_lora_are_not_answered_from_the_old_kernels():
    """Keras keeps the traced function, in which the kernel has no factors."""
    model = start()
    predict_logits(model, IMAGES)
    add_lora(model, 2)
    layer = model.get_layer("block1_conv")
    layer.lora_kernel_b.assign(keras.ops.ones_like(layer.lora_kernel_b))
    wanted = keras.ops.convert_to_numpy(model(IMAGES, training=False))
    np.testing.assert_allclose(predict_logits(model, IMAGES), wanted, rtol=1e-5)


def test_merged_predicts_the_same_and_is_plain():
    model = fit(with_lora())
    before = values_of(model)
    merged = merge_lora(model)
    np.testing.assert_allclose(
        predict_logits(merged, IMAGES), predict_logits(model, IMAGES), atol=1e-5
    )
    assert not moved(before, model)
    assert [x.path for x in merged.weights] == [x.path for x in start().weights]
    assert "lora" not in str(merged.get_config()).replace("'lora_rank': None", "")
    assert {x.path for x in merged.trainable_weights} == HEAD


def test_lora_that_keras_saved_answers_the_same_and_can_learn_no_more(tmp_path):
    """Both factors are zero in the file, so neither ever has a gradient."""
    model = fit(with_lora())
    read = load_model(save_model(model, tmp_path / "lora.keras"))
    np.testing.assert_allclose(
        predict_logits(read, IMAGES), predict_logits(model, IMAGES), atol=1e-5
    )
    before = values_of(read)
    assert not any("lora" in path for path in moved(before, fit(read)))


def test_thaw_after_lora_thaws_the_kernels_too():
    """What the docstring warns of: Keras sets all weights of a layer."""
    model = with_lora()
    thaw(model, "block1")
    assert "block1_conv/kernel" in {x.path for x in model.trainable_weights}


def test_lora_is_refused_twice_and_where_no_layer_takes_it():
    with pytest.raises(ValueError, match="Got blocks with LoRA, expected plain layers"):
        add_lora(with_lora(), 2)
    with pytest.raises(ValueError, match="Got a model without LoRA, expected one"):
        merge_lora(start())
    images = keras.Input((8, 8, 3))
    maps = keras.layers.DepthwiseConv2D(3, name="block1")(images)
    backbone = tiny_backbone()
    deep = type(backbone)(
        "deep", keras.Model(images, maps), {"block1": "block1"}, backbone.provenance
    )
    with pytest.raises(ValueError, match="without a Dense or Conv2D layer"):
        add_lora(classifier(deep, 2), 2)


@pytest.mark.parametrize(
    "kind", ["DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"]
)
def test_these_layers_of_keras_have_no_lora(kind):
    assert not hasattr(getattr(keras.layers, kind), "enable_lora")


# --- Bottlenecks ------------------------------------------------------------------


def test_bottlenecks_start_at_the_same_predictions():
    model = fit(start())
    adapted = add_bottlenecks(model, 3)
    np.testing.assert_array_equal(
        predict_logits(adapted, IMAGES), predict_logits(model, IMAGES)
    )
    names = ["block1_adapter", "block2_adapter"]
    assert [x.name for x in adapted.layers if "adapter" in x.name] == names
    assert list(adapted.block_layers.values()) == names
    assert list(add_bottlenecks(model, 3, "block2").block_layers.values()) == [
        "block1",
        "block2_adapter",
    ]


def test_bottlenecks_and_the_head_learn_and_no_other_bit():
    model = with_bottlenecks()
    before = values_of(model)
    found = moved(before, fit(model))
    inside = {
        f"block{i}_adapter/{layer}/{name}"
        for i in (1, 2)
        for layer in ("down", "up")
        for name in ("kernel", "bias")
    }
    assert found == inside | HEAD


def test_bottleneck_by_hand():
    model = with_bottlenecks()
    layer = model.get_layer("block1_adapter")
    down, bias, up, shift = (
        np.random.default_rng(0).normal(size=x.shape) for x in layer.weights
    )
    layer.set_weights([down, bias, up, shift])
    values = np.random.default_rng(1).normal(size=(2, 3, 3, 4))
    wanted = values + np.maximum(values @ down + bias, 0) @ up + shift
    found = keras.ops.convert_to_numpy(layer(values))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_bottlenecks_are_refused_twice():
    with pytest.raises(ValueError, match="Got a model with bottlenecks"):
        add_bottlenecks(with_bottlenecks(), 2)


# --- Size and files ---------------------------------------------------------------


def test_adapter_size_by_hand():
    head = 6 * 2 + 2
    convolutions = 3 * 3 * 3 * 2 + 2 * 4 + 3 * 3 * 4 * 2 + 2 * 6
    found = adapter_size(with_lora())
    assert found == (convolutions + head, 4 * (convolutions + head))
    learning, statistics = 2 * (4 + 6), 2 * (4 + 6)
    assert adapter_size(with_batch_norm()) == (
        learning + head,
        4 * (learning + head + statistics),
    )
    assert str(found) == "160 trainable numbers, 1 kB a task"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with two tasks of every kind, and {(kind, task): answers}."""
    folder, answers = tmp_path_factory.mktemp("adapters"), {}
    for kind, make in MADE.items():
        for task in range(2):
            model = fit(make(), seed=task, flip=bool(task))
            save_adapter(model, folder / f"{kind}{task}.npz")
            answers[kind, task] = predict_logits(model, IMAGES)
    return folder, answers


@pytest.mark.parametrize("kind", MADE)
def test_several_tasks_around_one_backbone_come_back(kind, saved):
    folder, answers = saved
    assert np.abs(answers[kind, 0] - answers[kind, 1]).max() > 0.1
    shared = MADE[kind]()
    for task in (0, 1, 0):
        load_adapter(shared, folder / f"{kind}{task}.npz")
        np.testing.assert_array_equal(
            predict_logits(shared, IMAGES), answers[kind, task]
        )


ALONE = """
import sys
sys.path[:0] = [sys.argv[1]]
import numpy as np
import test_adapters as made
for kind, make in made.MADE.items():
    model = make()
    made.load_adapter(model, f"{sys.argv[2]}/{kind}0.npz")
    answers = made.predict_logits(model, made.IMAGES)
    np.save(f"{sys.argv[2]}/{kind}.npy", answers)
"""


def test_an_adapter_is_read_in_another_process(saved):
    folder, answers = saved
    here = __file__.rpartition("/")[0]
    command = [sys.executable, "-c", ALONE, here, str(folder)]
    subprocess.run(command, check=True)
    for kind in MADE:
        found = np.load(folder / f"{kind}.npy")
        np.testing.assert_array_equal(found, answers[kind, 0])


def test_an_adapter_holds_no_backbone(tmp_path):
    path = save_adapter(with_lora(), tmp_path / "task.npz")
    with np.load(path) as stored:
        numbers = sum(stored[x].size for x in stored.files if x != "about")
    assert numbers == adapter_size(with_lora()).trainable


@pytest.mark.parametrize(
    "other, said",
    [
        (lambda: with_lora(rank=3), r"layer 2 is Conv2D .* \(3, 3, 3, 2\).*here"),
        (lambda: with_lora(num_classes=3), r"kernel \(6, 2\).*here.*kernel \(6, 3\)"),
        (with_bottlenecks, "another architecture"),
        (lambda: with_lora(seed=5), "around other frozen weights"),
    ],
    ids=["rank", "classes", "kind", "backbone"],
)
def test_an_adapter_of_another_model_is_refused_and_changes_nothing(
    other, said, tmp_path
):
    path = save_adapter(with_lora(), tmp_path / "task.npz")
    model = other()
    before = values_of(model)
    with pytest.raises(ValueError, match=said):
        load_adapter(model, path)
    assert not moved(before, model)


def test_a_backbone_that_another_adapter_changed_is_refused(saved, tmp_path):
    """A file for LoRA's kernels would silently meet the other task's statistics."""
    plain = save_adapter(start(), tmp_path / "head.npz")
    model = with_batch_norm()
    load_adapter(model, saved[0] / "batch_norm0.npz")
    with pytest.raises(ValueError, match="load no adapter of another kind before it"):
        load_adapter(model, plain)


def test_no_whole_adapter_is_refused(tmp_path):
    path = save_adapter(with_lora(), tmp_path / "task.npz")
    content = path.read_bytes()
    for wrong in (content[: len(content) // 2], b"", b"no adapter"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is damaged or no adapter"):
            load_adapter(with_lora(), path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(ValueError, match="is damaged or no adapter"):
        load_adapter(with_lora(), path)
    with pytest.raises(FileNotFoundError, match="expected a file of save_adapter"):
        load_adapter(with_lora(), tmp_path / "none.npz")


# --- Quantisation -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_quantize_converts_only_dense_layers():
    model = start()
    model.quantize("int8")
    converted = {x.path.split("/")[0] for x in model.weights if x.dtype == "int8"}
    assert converted == {"head_logits"}
