"""TF Hub modules in Keras 3: training, saving, finding, and every refusal."""

import io
import shutil
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from loopback import loopback_fixture  # noqa: F401 (used by name)

from tl_helpers import backbones, downloads
from tl_helpers.backbones import hub
from tl_helpers.saving import load_model, save_model

SCALE = [1.0, 2.0, 3.0]
DECAY = 0.9
QUERY = "?tf-hub-format=compressed"


def write_module(folder, size_px=None, is_trainable=True):
    """Write a module: scale * (mean over the image - moving mean)."""
    scale = tf.Variable(SCALE, name="norm/scale")
    moving = tf.Variable(tf.zeros(3), trainable=False, name="norm/moving")

    @tf.function
    def call(inputs, training=False):
        values = tf.reduce_mean(inputs, (1, 2))
        if training:
            moving.assign(DECAY * moving + (1 - DECAY) * tf.reduce_mean(values, 0))
        return scale * (values - moving)

    for training in (False, True):
        images = tf.TensorSpec((None, size_px, size_px, 3), "float32")
        call.get_concrete_function(images, training=training)
    module = tf.train.Checkpoint(call=call)
    module.__call__ = call
    module.variables = [moving, scale]
    module.trainable_variables = [scale] if is_trainable else []
    half_square = tf.function(lambda: tf.reduce_sum(scale**2) / 2, input_signature=[])
    module.regularization_losses = [half_square]
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    return write_module(tmp_path_factory.mktemp("modules") / "tiny")


@pytest.fixture(scope="module")
def fixed_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules") / "fixed"
    return write_module(folder, size_px=4, is_trainable=False)


@pytest.fixture(scope="module")
def packed(module_folder):
    """The module as the bytes of a .tar.gz, flat as TF Hub serves it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(module_folder, arcname=".")
    return stream.getvalue()


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 5, 6, 3), np.float32)


def build(layer, num_calls=1):
    inputs = keras.Input((None, None, 3))
    outputs = [layer(inputs) for _ in range(num_calls)]
    return keras.Model(inputs, keras.ops.sum(sum(outputs), axis=-1, keepdims=True))


def served(loopback, packed, role="whole"):
    """Address of the packed module, without what tensorflow_hub adds to it."""
    return loopback.url(role, "tiny" + QUERY, packed).removesuffix(QUERY)


# The layer


def test_layer_computes_what_the_module_does(module_folder, images):
    expected = images.mean(axis=(1, 2)) * SCALE
    np.testing.assert_allclose(hub.HubLayer(module_folder)(images), expected, rtol=1e-5)


def test_layer_casts_bytes(module_folder):
    ones = np.ones((1, 2, 2, 3), np.uint8)
    np.testing.assert_allclose(hub.HubLayer(module_folder)(ones), [SCALE])


def test_keras_3_takes_this_layer_and_not_tensorflow_hubs_own(module_folder):
    """Trap 5: hub.KerasLayer is a layer of Keras 2."""
    import tensorflow_hub

    with pytest.raises(ValueError, match="Only instances of `?keras.Layer"):
        keras.Sequential([tensorflow_hub.KerasLayer(str(module_folder))])
    assert keras.Sequential([hub.HubLayer(module_folder)]).layers


def test_layer_shares_memory_with_the_module(module_folder, images):
    """A copy in the Keras weights would train without any effect."""
    layer = hub.HubLayer(module_folder, trainable=True)
    layer.trainable_weights[0].assign([0.0, 0.0, 0.0])
    assert not np.any(layer.module(images))
    layer.module.variables[0].assign([7.0, 7.0, 7.0])
    np.testing.assert_array_equal(layer.non_trainable_weights[0], [7.0, 7.0, 7.0])


@pytest.mark.parametrize("is_trainable, counts", [(False, (0, 2)), (True, (1, 1))])
def test_layer_counts_its_weights(module_folder, is_trainable, counts):
    model = build(hub.HubLayer(module_folder, trainable=is_trainable, name="tiny"))
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == counts
    assert [w.path for w in model.weights] == ["tiny/norm_scale", "tiny/norm_moving"]
    assert model.count_params() == 6
    lines = []
    model.summary(print_fn=lines.append)
    assert f"Trainable params: {3 * counts[0]} " in "\n".join(lines)


def test_frozen_layer_moves_by_not_one_bit_in_fit(module_folder, images):
    layer = hub.HubLayer(module_folder)
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(images, np.ones((4, 1)), verbose=0)
    layer(images, training=True)
    np.testing.assert_array_equal(layer.weights[0], SCALE)
    np.testing.assert_array_equal(layer.weights[1], np.zeros(3))


def test_trainable_layer_takes_the_step_computed_by_hand(module_folder, images):
    """Output o = sum_c s_c (v_c - m_c); loss = mean (o - 1)^2 + |s|^2 / 2."""
    model = build(hub.HubLayer(module_folder, trainable=True))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    logged = model.fit(images, np.ones((4, 1)), batch_size=4, verbose=0).history["loss"]
    values, scale = images.mean(axis=(1, 2)), np.array(SCALE)
    moving = (1 - DECAY) * values.mean(axis=0)
    centred = values - moving
    rest = centred @ scale - 1
    gradient = 2 * rest @ centred / 4 + scale
    np.testing.assert_allclose(logged, np.mean(rest**2) + scale @ scale / 2, rtol=1e-5)
    np.testing.assert_allclose(model.weights[0], scale - 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(model.weights[1], moving, rtol=1e-5)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop"])
def test_any_optimizer_moves_a_thawed_layer(module_folder, images, name):
    layer = hub.HubLayer(module_folder)
    layer.trainable = True
    model = build(layer)
    model.compile(getattr(keras.optimizers, name)(0.1), "mse")
    model.fit(images, np.ones((4, 1)), verbose=0)
    assert np.all(layer.weights[0].numpy() != SCALE)


def test_training_flag_decides_whether_statistics_move(module_folder, images):
    layer = hub.HubLayer(module_folder, trainable=True)
    layer(images, training=False)
    assert not np.any(layer.weights[1])
    layer(images, training=True)
    assert np.all(layer.weights[1])


def test_statistics_can_be_kept_in_a_thawed_layer(module_folder, images):
    layer = hub.HubLayer(module_folder, trainable=True, moves_statistics=False)
    again = hub.HubLayer.from_config(layer.get_config())
    for one in (layer, again):
        one(images, training=True)
        assert not np.any(one.weights[1])


def test_calls_share_weights_and_one_regularization_loss(module_folder, images):
    model = build(hub.HubLayer(module_folder, trainable=True), num_calls=2)
    assert len(model.weights) == 2
    expected = 2 * (images.mean(axis=(1, 2)) @ SCALE)[:, None]
    np.testing.assert_allclose(model(images), expected, rtol=1e-5)
    np.testing.assert_allclose(model.losses, [7.0])  # (1 + 4 + 9) / 2
    model.trainable = False
    assert model.losses == []


def test_mixed_precision_casts_only_the_output(module_folder, images):
    layer = hub.HubLayer(module_folder, trainable=True, dtype="mixed_float16")
    exact = images.mean(axis=(1, 2)) * SCALE
    np.testing.assert_array_equal(layer(images), exact.astype("float16"))
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    model = build(layer)
    model.compile("sgd", "mse")  # scales its loss under this policy
    model.fit(images, np.ones((4, 1)), verbose=0)
    assert np.all(layer.weights[0].numpy() != SCALE)


def test_layer_runs_inside_tf_function(module_folder, images):
    layer = hub.HubLayer(module_folder)
    np.testing.assert_allclose(tf.function(layer)(images), layer(images), rtol=1e-6)
    with pytest.warns(match="doesn't support `jit_compile=True`"):
        build(layer).compile(jit_compile=True)


# Saving


def test_model_saves_and_reloads_with_trained_weights(module_folder, images, tmp_path):
    model = build(hub.HubLayer(module_folder, trainable=True))
    model.weights[0].assign([5.0, 6.0, 7.0])
    loaded = load_model(save_model(model, tmp_path / "model.keras"))
    np.testing.assert_array_equal(loaded.predict(images), model.predict(images))
    assert loaded.layers[1].handle == str(module_folder)
    assert len(loaded.trainable_weights) == 1


def test_model_exports_as_saved_model(module_folder, images, tmp_path):
    model = build(hub.HubLayer(module_folder))
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(images), model(images), rtol=1e-6)


def test_reload_without_the_module_says_where_it_was(module_folder, tmp_path):
    folder = shutil.copytree(module_folder, tmp_path / "gone")
    path = save_model(build(hub.HubLayer(folder)), tmp_path / "model.keras")
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="gone, which is not on this machine"):
        load_model(path)


def test_reload_never_fetches(loopback, packed, tmp_path, monkeypatch):
    layer = hub.HubLayer(served(loopback, packed))
    path = save_model(build(layer), tmp_path / "model.keras")
    assert load_model(path).layers[1].handle == layer.handle
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="hub.resolve"):
        load_model(path)
    assert sum(loopback.hits.values()) == 1


# Finding


def test_resolve_unpacks_an_archive_once(packed, module_folder, tmp_path):
    path = tmp_path / "tiny.tar.gz"
    path.write_bytes(packed)
    folder = hub.resolve(path)
    made = folder.stat().st_mtime_ns
    assert (folder / hub.MODULE_FILE).exists() and folder != module_folder
    assert hub.resolve(str(path)).stat().st_mtime_ns == made


def test_resolve_finds_the_module_in_the_archives_folder(module_folder, tmp_path):
    path = shutil.make_archive(
        tmp_path / "tiny", "zip", module_folder.parent, module_folder.name
    )
    assert (hub.resolve(path) / hub.MODULE_FILE).exists()


def test_resolve_fetches_an_address_once(loopback, packed):
    handle = served(loopback, packed)
    folder = hub.resolve(handle)
    assert hub.resolve(handle) == folder == hub.cached_folder(handle)
    assert (folder / hub.MODULE_FILE).exists()
    assert sum(loopback.hits.values()) == 1


def test_resolve_leaves_the_users_cache_in_charge(
    loopback, packed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "mine"))
    assert hub.resolve(served(loopback, packed)).parent == tmp_path / "mine"


def test_resolve_looks_into_the_mirror_first(module_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    handle = "https://tfhub.dev/nobody/tiny/1"
    cached = hub.cached_folder(handle)
    mirrored = tmp_path / "hub" / cached.name
    shutil.copytree(module_folder, cached)
    assert hub.resolve(handle) == cached
    shutil.copytree(module_folder, mirrored)
    assert hub.resolve(handle) == mirrored


def test_resolve_obeys_offline(loopback, packed, monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    with pytest.raises(downloads.DownloadError, match="TL_OFFLINE forbids"):
        hub.resolve(served(loopback, packed))
    assert not loopback.hits


@pytest.mark.parametrize(
    "role, reason",
    [
        ("missing", "404: Not Found.*copy it from the module's page"),
        ("login", "valid module.*check the network"),
        ("cut-off", "check the network"),
        ("stalled", "timed out.*check the network"),
    ],
)
def test_resolve_says_why_nothing_came(loopback, packed, role, reason):
    handle = served(loopback, packed, role)
    with pytest.raises(downloads.DownloadError, match=reason):
        hub.resolve(handle)
    cached = hub.cached_folder(handle)
    assert not cached.exists()
    assert not list(cached.parent.rglob(hub.MODULE_FILE))


def test_resolve_says_that_there_is_no_network(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(downloads.DownloadError, match="refused.*check the network"):
        hub.resolve("http://127.0.0.1:9/nobody/tiny/1")


def test_resolve_refuses_a_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="none, which does not exist"):
        hub.resolve(tmp_path / "none")


# Refusals


def write_tf1_module(folder):
    builder = tf.compat.v1.saved_model.Builder(str(folder))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = tf.compat.v1.placeholder("float32", (None, 2), "inputs")
        outputs = inputs * tf.compat.v1.get_variable("scale", initializer=2.0)
        session.run(tf.compat.v1.global_variables_initializer())
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {"inputs": inputs}, {"default": outputs}
        )
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map={"default": signature}
        )
    builder.save()


def test_layer_refuses_a_tf1_module(tmp_path):
    write_tf1_module(tmp_path / "old")
    with pytest.raises(ValueError, match="old, which cannot be called .*TF2 version"):
        hub.HubLayer(tmp_path / "old")


def test_layer_refuses_the_format_of_tf1_hub(module_folder, tmp_path):
    folder = shutil.copytree(module_folder, tmp_path / "marked")
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    with pytest.raises(ValueError, match="TF1 module"):
        hub.HubLayer(folder)


def test_layer_refuses_a_folder_without_a_module(tmp_path):
    with pytest.raises(ValueError, match="cannot load .*does not exist.*expected"):
        hub.HubLayer(tmp_path)


def test_layer_names_the_size_it_wants(fixed_folder):
    layer = hub.HubLayer(fixed_folder)
    assert layer.image_size == (4, 4)
    expected = r"\(2, 5, 4, 3\), expected \(None, 4, 4, 3\) by .*Resizing"
    with pytest.raises(ValueError, match=expected) as caught:
        layer(np.zeros((2, 5, 4, 3)))
    assert "\n" not in str(caught.value)


def test_layer_without_trainable_variables_refuses_to_train(fixed_folder):
    with pytest.raises(ValueError, match="no trainable variables, expected False"):
        hub.HubLayer(fixed_folder, trainable=True)
    model = keras.Sequential([hub.HubLayer(fixed_folder)])
    model.trainable = False
    with pytest.raises(ValueError, match="no trainable variables"):
        model.layers[0].trainable = True


def test_layer_refuses_another_backend(module_folder, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="backend jax, expected tensorflow"):
        hub.HubLayer(module_folder)


# Exporting


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "embedded"
    return hub.export_module(backbones.load("embedded"), folder)


def test_export_loads_through_tensorflow_hub_with_equal_features(exported):
    import tensorflow_hub

    module = tensorflow_hub.load(str(exported))
    backbone = backbones.load("embedded")
    for size_px in (32, 48):
        pixels = np.random.default_rng(0).integers(0, 256, (2, size_px, size_px, 3))
        expected = backbone.extractor().predict_on_batch(pixels.astype("float32"))
        values = module((pixels / 255).astype("float32"))
        np.testing.assert_allclose(values, expected, atol=1e-5)
    assert len(module.trainable_variables) == 48 and len(module.variables) == 80


def test_export_fine_tunes_in_keras(exported):
    """Every weight moves, the statistics of batch normalization among them."""
    model = build(hub.HubLayer(exported, trainable=True))
    before = model.get_weights()
    model.compile("adam", "mse")
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    model.fit(images, np.ones((4, 1)), verbose=0)
    for old, weight in zip(before, model.weights, strict=True):
        assert not np.array_equal(old, weight.numpy()), weight.path


def small_backbone():
    images = keras.Input((None, None, 3))
    kernel = {"kernel_initializer": "ones", "kernel_regularizer": "l2"}
    x = keras.layers.Conv2D(2, 1, name="first", trainable=False, **kernel)(images)
    x = keras.layers.Dropout(0.5)(x)
    network = keras.Model(images, keras.layers.Conv2D(1, 1, name="last", **kernel)(x))
    blocks = {"first": "first", "last": "last"}
    return backbones.Backbone("small", network, blocks, None)


def test_export_keeps_losses_dropout_and_the_block_asked_for(tmp_path):
    backbone = small_backbone()
    first = hub.export_module(backbone, tmp_path / "first", "first", pool=False)
    whole = hub.export_module(backbone, tmp_path / "whole")
    assert hub.HubLayer(first)(np.zeros((1, 2, 2, 3))).shape == (1, 2, 2, 2)
    layer = hub.HubLayer(whole, trainable=True)
    np.testing.assert_allclose(sum(layer.losses), 0.01 * (6 + 2), rtol=1e-6)
    ones = np.ones((64, 2, 2, 3))
    assert np.std(layer(ones, training=True)) > np.std(layer(ones)) == 0


def test_export_leaves_the_backbone_as_it_was(tmp_path):
    backbone = small_backbone()
    hub.export_module(backbone, tmp_path / "small")
    assert not backbone.network.get_layer("first").trainable
    assert backbone.network.get_layer("last").trainable


def test_export_writes_all_or_nothing(exported, tmp_path, monkeypatch):
    with pytest.raises(FileExistsError, match="expected a new folder"):
        hub.export_module(small_backbone(), exported)

    def fail(module, folder):
        folder.mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        hub.export_module(small_backbone(), tmp_path / "small")
    assert not list(tmp_path.glob("*small*"))
