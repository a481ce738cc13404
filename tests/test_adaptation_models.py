"""What every adaptation model must do, on a network of two layers."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import log_softmax, softmax
from tiny import PROVENANCE, moved, tiny_images, values_of

from tl_helpers.adaptation import (
    CDAN,
    DANN,
    Discrepancy,
    MeanTeacher,
    MutualLearning,
    SelfTraining,
    dense_network,
    digit_network,
    pairs,
)
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features

WIDTH, CLASSES, ROWS = 3, 2, 24


def domains(seed=0):
    """Two classes, left and right; the target is shifted upwards."""
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, ROWS, WIDTH)).astype("float32")
    target += np.array([0, 2, 0], "float32")
    return source, (source[:, 0] > 0).astype(int), target


def encoder(batch_norm=False):
    behind = [layers.BatchNormalization(momentum=0.5)] if batch_norm else []
    stack = [keras.Input((WIDTH,)), layers.Dense(5, name="hidden"), *behind]
    return keras.Sequential(stack, name="encoder")


def head():
    return dense_network(5, (), CLASSES, name="head")


def network(batch_norm=False):
    return keras.Sequential([keras.Input((WIDTH,)), encoder(batch_norm), head()])


BUILD = {
    "DANN": lambda bn=False: DANN(
        encoder(bn), head(), dense_network(5, (), 1, name="discriminator")
    ),
    "CDAN": lambda bn=False: CDAN(
        encoder(bn), head(), dense_network(5 * CLASSES, (), 1, name="discriminator")
    ),
    "CORAL": lambda bn=False: Discrepancy(encoder(bn), head(), "coral", strength=5),
    "MMD": lambda bn=False: Discrepancy(encoder(bn), head(), "mmd", strength=5),
    "MutualLearning": lambda bn=False: MutualLearning(network(bn), network(bn)),
    "MeanTeacher": lambda bn=False: MeanTeacher(
        network(bn), threshold=0.4, momentum=0.5
    ),
    "SelfTraining": lambda bn=False: SelfTraining(network(bn), share=0.75),
}
NAMES = list(BUILD)


def compiled(model, optimizer=None, eager=False):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    # eager: the same steps, without the seconds that tracing takes
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=eager)
    return model


def fitted(model, epochs=1, **settings):
    source, labels, target = domains()
    data = pairs(Features(source, labels), target, 8)
    history = compiled(model, **settings).fit(data, epochs=epochs, verbose=0)
    return history.history


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    """A model with BatchNormalization after six steps, its start and its history."""
    keras.utils.set_random_seed(0)
    model = BUILD[request.param](True)
    before = values_of(model)
    return model, before, fitted(model, epochs=2)


def test_every_weight_moves(trained):
    model, before, _ = trained
    still = set(before) - moved(before, model)
    assert all("/strength" in path for path in still), still


def test_reloads_with_equal_answers_and_trains_on(trained, tmp_path):
    model, _, _ = trained
    source, labels, target = domains(1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for first, second in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    answers = model.predict(target, verbose=0)
    assert answers.shape == (ROWS, CLASSES)
    np.testing.assert_array_equal(answers, loaded.predict(target, verbose=0))
    before = values_of(loaded)
    loaded.run_eagerly = True
    loaded.fit({"source": source, "target": target}, labels, verbose=0)
    assert moved(before, loaded)


def test_logs_are_finite_and_plain_images_log_no_domain(trained):
    model, _, history = trained
    assert {"loss", "accuracy", "class_loss", *model.logged} == set(history)
    assert np.isfinite(list(history.values())).all()
    source, labels, _ = domains()
    results = model.evaluate(source, labels, verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy"}
    answers = model.predict(source, verbose=0)
    assert float(results["accuracy"]) == pytest.approx(
        (answers.argmax(axis=1) == labels).mean()
    )


def cross_entropy(logits, labels):
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()


def entropies(logits):
    return -(softmax(logits, axis=1) * log_softmax(logits, axis=1)).sum(axis=1)


def dann_loss(model, source, labels, target):
    zs, zt = (model.encoder(x).numpy() for x in (source, target))
    ds, dt = (model.discriminator(z).numpy()[:, 0] for z in (zs, zt))
    domain = np.concatenate([np.logaddexp(0, -ds), np.logaddexp(0, dt)]).mean()
    return cross_entropy(model.head(zs).numpy(), labels) + domain


def cdan_loss(model, source, labels, target):
    features = [model.encoder(x).numpy() for x in (source, target)]
    logits = [model.head(z).numpy() for z in features]
    weights = [1 + np.exp(-entropies(g)) for g in logits]
    weights = [w / w.mean() for w in weights]
    shown = [
        np.array(
            [np.outer(f, p).ravel() for f, p in zip(z, softmax(g, 1), strict=True)]
        )
        for z, g in zip(features, logits, strict=True)
    ]
    ds, dt = (model.discriminator(x).numpy()[:, 0] for x in shown)
    each = weights[0] * np.logaddexp(0, -ds), weights[1] * np.logaddexp(0, dt)
    return cross_entropy(logits[0], labels) + np.concatenate(each).mean()


def coral(zs, zt):
    difference = np.cov(zs.T) - np.cov(zt.T)
    return (difference**2).sum() / (4 * zs.shape[1] ** 2)


def coral_model_loss(model, source, labels, target):
    zs, zt = (model.encoder(x).numpy() for x in (source, target))
    return cross_entropy(model.head(zs).numpy(), labels) + 5 * coral(zs, zt)


def mutual_loss(model, source, labels, target):
    networks = model.first, model.second
    class_loss = np.mean([cross_entropy(n(source).numpy(), labels) for n in networks])
    p, q = (log_softmax(n(target).numpy(), axis=1) for n in networks)
    both = (np.exp(p) * (p - q) + np.exp(q) * (q - p)).sum(axis=1) / 2
    return class_loss + both.mean()


def teacher_loss(model, source, labels, target):
    """The teacher starts as a copy of the student: nothing to learn at first."""
    return cross_entropy(model.student(source).numpy(), labels)


def self_training_loss(model, source, labels, target):
    """The bounds start at 1; the first step has lowered those of the answers given."""
    logits = model.classifier(target).numpy()
    sureness = softmax(logits, axis=1).max(axis=1)
    admitted = sureness >= 1 - 0.02 * model.share
    own = -np.log(sureness)
    class_loss = cross_entropy(model.classifier(source).numpy(), labels)
    return class_loss + (admitted * own).mean()


BY_HAND = {
    "DANN": dann_loss,
    "CDAN": cdan_loss,
    "CORAL": coral_model_loss,
    "MutualLearning": mutual_loss,
    "MeanTeacher": teacher_loss,
    "SelfTraining": self_training_loss,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_logged_loss_is_the_one_computed_by_hand(name):
    model = compiled(BUILD[name](), eager=True)
    source, labels, target = domains()
    expected = BY_HAND[name](model, source, labels, target)
    inputs = {"source": source, "target": target}
    history = model.fit(inputs, labels, batch_size=ROWS, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["DANN", "CORAL"])
def test_strength_zero_is_plain_supervised_training(name):
    model = BUILD[name]()
    model.strength.assign(0.0)
    plain = keras.Sequential([keras.Input((WIDTH,)), encoder(), head()])
    plain.set_weights(model.encoder.get_weights() + model.head.get_weights())
    source, labels, target = domains()
    inputs = {"source": source, "target": target}
    settings = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": 2}
    compiled(model, eager=True).fit(inputs, labels, **settings)
    compiled(plain, eager=True).fit(source, labels, **settings)
    learnt = model.encoder.get_weights() + model.head.get_weights()
    for ours, theirs in zip(learnt, plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_dann_step_is_the_papers_saddle_point():
    """Encoder: class minus strength times domain gradient; discriminator: plus."""
    model = BUILD["DANN"]()
    model.strength.assign(0.7)
    source, labels, target = domains()
    with tf.GradientTape(persistent=True) as tape:
        zs, zt = model.encoder(source), model.encoder(target)
        class_loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.head(zs))
        )
        ds, dt = model.discriminator(zs), model.discriminator(zt)
        domain_loss = tf.reduce_mean(
            tf.concat([tf.nn.softplus(-ds), tf.nn.softplus(dt)], 0)
        )
    encoder_kernel = model.encoder.trainable_variables[0].value
    discriminator_kernel = model.discriminator.trainable_variables[0].value
    expected = encoder_kernel - 0.1 * (
        tape.gradient(class_loss, encoder_kernel)
        - 0.7 * tape.gradient(domain_loss, encoder_kernel)
    )
    expected_discriminator = discriminator_kernel - 0.1 * tape.gradient(
        domain_loss, discriminator_kernel
    )
    compiled(model).train_on_batch({"source": source, "target": target}, labels)
    np.testing.assert_allclose(encoder_kernel, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        discriminator_kernel, expected_discriminator, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("is_seen", [True, False])
def test_the_default_discriminator_sees_no_shift_of_the_mean(is_seen):
    """Its BatchNormalization subtracts the mean of each domain's own batch."""
    own = dense_network(5, (4,), 1) if is_seen else None
    source, _, _ = domains()
    shifted = {"source": source, "target": source + 3}
    outputs = DANN(encoder(), head(), own)(shifted, training=True)
    of_source, of_target = np.split(outputs["domains"], 2)
    assert (np.abs(of_source - of_target).max() > 1e-3) == is_seen


@pytest.mark.parametrize("name", NAMES)
def test_trains_in_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = BUILD[name](True)
        before = values_of(model)
        # loss scaling starts at 2^15 and may skip the first steps of such a net
        adam = keras.optimizers.Adam(0.01)
        history = fitted(model, epochs=4, optimizer=adam, eager=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    assert {path.split("/")[0] for path in moved(before, model)} >= {
        path.split("/")[0] for path in before if "strength" not in path
    }


DISTRIBUTED = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
sys.path[:0] = {path}
from test_adaptation_models import BUILD, ROWS, compiled, domains
from tl_helpers.adaptation import Ramp
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
source, labels, target = domains()
once = {{"source": source, "target": target}}
twice = {{name: np.concatenate([rows, rows]) for name, rows in once.items()}}
settings = dict(shuffle=False, verbose=0, epochs=3, callbacks=[Ramp(2.0)])
for name in {names}:
    with strategy.scope():
        spread = compiled(BUILD[name]())
    single = compiled(BUILD[name]())
    single.set_weights(spread.get_weights())
    both = np.concatenate([labels, labels])
    logs = spread.fit(twice, both, batch_size=2 * ROWS, **settings).history
    plain = single.fit(once, labels, batch_size=ROWS, **settings).history
    for ours, theirs in zip(spread.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    for key, values in plain.items():
        np.testing.assert_allclose(logs[key], values, rtol=1e-4, atol=1e-5)
    print(name)
"""


@pytest.mark.parametrize(
    "names",
    [
        ["DANN", "SelfTraining"],  # which move variables of their own
        pytest.param(["MMD", "MeanTeacher"], marks=pytest.mark.slow),
    ],
)
def test_two_replicas_with_the_same_rows_train_as_one(names):
    script = DISTRIBUTED.format(path=repr(sys.path), names=names)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == names


@pytest.mark.parametrize("name", ["DANN", "MeanTeacher"])
def test_trains_on_tf_data(name):
    source, labels, target = domains()
    rows = ({"source": source, "target": target}, labels)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(7)  # a smaller last batch
    model = compiled(BUILD[name]())
    before = values_of(model)
    history = model.fit(data, epochs=2, verbose=0).history
    assert moved(before, model) and np.isfinite(history["loss"]).all()


def test_permuted_target_labels_change_nothing():
    target = tiny_images(seed=1)
    permuted = ImageSet(
        target.images, target.labels[::-1], target.class_names, PROVENANCE
    )
    weights = []
    for images in (target, permuted):
        keras.utils.set_random_seed(0)
        start = keras.Sequential(
            [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten()]
        )
        encoder_ = keras.Sequential([start, layers.Dense(5)])
        model = compiled(DANN(encoder_, head()), eager=True)
        model.fit(pairs(tiny_images(), images, 8), epochs=2, verbose=0)
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: DANN(encoder(), dense_network(4, (), 2)), r"\(5,\) and head .*\(4,\)"),
        (lambda: DANN(encoder(), head(), dense_network(4, (), 1)), "discriminator"),
        (lambda: DANN(encoder(), head(), strength=-1), "strength=-1"),
        (lambda: DANN(keras.Sequential([layers.Dense(2)]), head()), "built"),
        (lambda: CDAN(encoder(), head(), dense_network(5, (), 1)), r"\(10,\)"),
        (lambda: Discrepancy(encoder(), head(), "wasserstein"), "coral, mmd"),
        (lambda: Discrepancy(encoder(), head(), align=("x",)), "expected some of"),
        (lambda: MutualLearning(network(), encoder()), "expected the same"),
        (lambda: MutualLearning(*[network()] * 2), "two networks that share weights"),
        (lambda: MeanTeacher(network(), threshold=1.5), "threshold=1.5"),
        (lambda: MeanTeacher(network(), momentum=1), "momentum=1, expected both below"),
        (lambda: SelfTraining(network(), share=0.0), "share=0"),
    ],
)
def test_models_refuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_networks_averages_forget_where_they_started():
    """Of Keras's own 0.99, 28% of the start would be left after 128 steps."""
    networks = [*digit_network(16), dense_network(4, (5,), 2, batch_norm=True)]
    norms = [
        layer
        for network in networks
        for layer in network.layers
        if isinstance(layer, layers.BatchNormalization)
    ]
    assert len(norms) == 6
    assert all(norm.momentum**128 < 1e-5 for norm in norms)
