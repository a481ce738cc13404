"""One contract for every Keras Application; the real MobileNetV2 names photographs."""

import gc
import inspect

import keras
import numpy as np
import pytest

from tl_helpers import backbones
from tl_helpers.backbones import applications
from tl_helpers.saving import load_model, save_model

# one for every way of preprocessing in each run, all of them with -m slow (weekly)
REPRESENTATIVES = {
    "MobileNetV3Small": "none",
    "MobileNetV2": "tf",
    "VGG16": "caffe",
    "DenseNet121": "torch",
}
NAMES = [
    pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.slow)
    for name in applications.names()
]


def test_every_way_of_preprocessing_has_its_representative():
    ways = {
        name: applications.Application(name).preprocessing_mode()
        for name in REPRESENTATIVES
    }
    assert ways == REPRESENTATIVES
    assert set(ways.values()) == set(applications.Preprocessing.MODES)


def random_images(size_px, seed=0):
    shape = (2, size_px, size_px, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("float32")


@pytest.fixture(autouse=True)
def free_memory():
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("name", NAMES)
def test_every_application_keeps_the_contract(name, tmp_path):
    backbone = backbones.load(name, pretrained=False)
    network = backbone.network
    network.trainable = False
    images = random_images(applications.FIXED_PX.get(name, 96))
    statistics = [w.numpy() for w in network.non_trainable_weights]

    network(images, training=True)

    for before, after in zip(statistics, network.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    output = network(images)
    rest = keras.Model(network.get_layer("preprocessing").output, network.output)
    official = inspect.getmodule(getattr(keras.applications, name)).preprocess_input
    np.testing.assert_allclose(rest(official(images.copy())), output, atol=1e-4)
    assert 4 <= len(backbone.blocks) <= 6
    assert backbone.extractor(backbone.blocks[0])(images).shape[0] == 2
    again = load_model(save_model(network, tmp_path / "n.keras"))
    np.testing.assert_allclose(again(images), network(images), atol=1e-5)


def test_application_names_what_keras_lacks():
    with pytest.raises(ValueError, match="'ResNet5', .* expected one of .*ResNet50"):
        applications.Application("ResNet5")


@pytest.mark.parametrize(
    ("name", "mode"),
    [("VGG16", "caffe"), ("DenseNet121", "torch"), ("EfficientNetB0", "none")],
)
def test_preprocessing_mode_is_read_off_the_official_function(name, mode):
    assert applications.Application(name).preprocessing_mode() == mode


def test_preprocessing_caffe_by_hand():
    red = np.array([[[[255.0, 0, 0]]]])
    blue_first = applications.Preprocessing("caffe")(red)
    np.testing.assert_allclose(
        blue_first[0, 0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-5
    )


def test_stages_end_where_nothing_bypasses_them():
    network, _ = applications.Application("ResNet50").trunk(pretrained=False)
    assert list(applications.stages(network).values())[1:4] == [
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
    ]


def test_keras_weights_come_through_the_one_door(tmp_path, monkeypatch):
    asked = []

    def fetch(url, folder, file_name=None, known_hash=None):
        asked.append((url, folder, file_name, known_hash))
        raise OSError("no bytes today")

    monkeypatch.setattr(applications.downloads, "fetch", fetch)
    with pytest.raises(OSError, match="no bytes today"):
        applications.fetch_weights("ResNet50", tmp_path)
    ((url, folder, file_name, known_hash),) = asked
    assert url.startswith("https://storage.googleapis.com/tensorflow/keras-app")
    assert folder == applications.profiles.keras_dir() / "models"
    assert file_name == "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert known_hash == "4d473c1dd8becc155b73f8504c6f6626"


@pytest.mark.realdata
@pytest.mark.parametrize("size_px", [96, 128, 160, 224])
def test_mobilenet_v2_loads_its_weights_for_every_size(size_px):
    backbone = backbones.load("MobileNetV2")
    values = backbone.extractor()(random_images(size_px))
    assert values.shape == (2, 1280)
    assert not backbone.network.trainable
    assert float(keras.ops.std(values)) > 0.1


GUITARS = {"acoustic_guitar", "electric_guitar"}
ELEPHANTS = {"African_elephant", "Indian_elephant", "tusker"}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("kind", "right"), [("guitar", GUITARS), ("elephant", ELEPHANTS)]
)
def test_mobilenet_v2_names_photographs(kind, right):
    from tl_helpers import datasets

    photographs = datasets.load("pacs", "photo", size_px=224)
    rows = np.flatnonzero(photographs.labels == photographs.class_names.index(kind))
    network = applications.Application("MobileNetV2").classifier()[0]
    images = photographs.pixels(rows[:20]).astype("float32")
    decode = keras.applications.imagenet_utils.decode_predictions
    rows = decode(network.predict(images, verbose=0), top=1)
    assert np.mean([name in right for ((_, name, _),) in rows]) >= 0.7
