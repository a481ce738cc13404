"""Adapting while running: what a step of TENT costs beside the passes it needs."""

from rows import compare, interleave

NUM_ROUNDS = 15
STEPS_A_ROUND = 5
BATCH_SIZE = 64


def measure_tent_step():
    """Compare steps of TENT with forward and backward passes written by hand.

    By hand: the same network, statistics of the batch, mean entropy, and its gradient
    for every gamma and beta, which nothing is done with.
    """
    import keras
    import tensorflow as tf

    from tl_helpers import backbones, datasets, finetuning, streams
    from tl_helpers.adaptation.losses import entropy

    model = finetuning.classifier(backbones.load("embedded"), 10)
    images = datasets.load("solids", "photo").pixels()[:BATCH_SIZE].astype("float32")
    tent = streams.Tent(model, keras.optimizers.Adam(1e-3))
    twin = streams.Tent(model).network  # whose norms alone can learn

    @tf.function
    def passes(images):
        with tf.GradientTape() as tape:
            logits = twin(images, training=False)
            loss = tf.reduce_mean(entropy(logits))
        weights = [weight.value for weight in twin.trainable_variables]
        return logits, tape.gradient(loss, weights)

    def by_hand():
        logits, gradients = passes(tf.convert_to_tensor(images))
        return logits.numpy(), gradients

    tasks = {
        "TENT": lambda: [tent.predict(images) for _ in range(STEPS_A_ROUND)],
        "by hand": lambda: [by_hand() for _ in range(STEPS_A_ROUND)],
    }
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"steps a round": STEPS_A_ROUND, "batch size": BATCH_SIZE, **spent}
    name = "s a step: streams.Tent / forward and backward pass by hand"
    return [compare(name, *spent.values(), 1.2, "at most", raw)]
