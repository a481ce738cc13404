"""Learn classes from a few images each: episodes, classifiers, prototypical training.

Classifiers take frozen features of many episodes at once. Letters in shapes: E episodes
of N ways (classes), each with K shots (labelled, the support) and Q queries.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from scipy.special import softmax

from tl_helpers.datasets.image_set import look_up, reader
from tl_helpers.evaluation import summarise

MAX_VALUES = 2**24  # features that `evaluate_episodes` holds at a time
LOGISTIC_STEPS = 100


class Episodes(NamedTuple):
    """Small classification tasks, as rows of one data set.

    Attributes:
        classes: int64 (E, N), labels; an episode calls them 0 to N-1 in this order.
        support: int64 (E, N, K), rows that are labelled.
        query: int64 (E, N, Q), other rows of the same classes.
    """

    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray

    def with_shots(self, num_shots):
        """Return the same episodes and queries with the first shots alone.

        So a curve over the number of shots compares like with like.
        """
        if not 1 <= num_shots <= self.support.shape[2]:
            raise ValueError(
                f"Got num_shots={num_shots}, expected 1 to {self.support.shape[2]}, "
                "which is what was drawn; draw episodes of more shots."
            )
        return self._replace(support=self.support[:, :, :num_shots])


class EpisodeAccuracy(NamedTuple):
    """What a classifier reached over episodes.

    Printed as '63.1 ± 0.7 %'. As in papers on few-shot learning, ± is half of the 95%
    confidence interval of the mean over episodes: not the deviation from one episode to
    the next, which is far larger, nor that over seeds, which `evaluation.Spread`
    prints. It knows nothing of other classes than those drawn.

    Attributes:
        accuracies: float (E,), in [0, 1].
        mean: float.
        low: lower end of the interval (Student's t).
        high: its upper end.
    """

    accuracies: np.ndarray
    mean: float
    low: float
    high: float

    def __str__(self):
        """Return the mean and half of the interval, in percent."""
        return f"{100 * self.mean:.1f} ± {50 * (self.high - self.low):.1f} %"


def split_classes(labels, num_held_out, seed=0):
    """Deal the classes out to training and test, so that no class is on both sides.

    Args:
        labels: int (n,).
        num_held_out: int, from 1 to the number of classes minus 1.
        seed: int.

    Returns:
        (training classes, held-out classes), int arrays in rising order.

    Raises:
        ValueError: one side would be empty.
    """
    classes = np.unique(labels)
    if not 1 <= num_held_out < len(classes):
        raise ValueError(
            f"Got num_held_out={num_held_out}, expected 1 to {len(classes) - 1} of "
            f"{len(classes)} classes; leave some on both sides."
        )
    order = np.random.default_rng(seed).permutation(classes)
    return np.sort(order[num_held_out:]), np.sort(order[:num_held_out])


def episodes(
    labels, num_ways, num_shots, num_queries, num_episodes=600, seed=0, classes=None
):
    """Draw episodes; within one, no class and no row is drawn twice.

    Args:
        labels: int (n,).
        num_ways: N >= 2.
        num_shots: K >= 1.
        num_queries: Q >= 1.
        num_episodes: E >= 1.
        seed: int.
        classes: labels to draw from; None for all.

    Returns:
        Episodes.

    Raises:
        ValueError: a number below its least, fewer classes than ways, or a class with
            fewer than K + Q rows.
    """
    labels = np.asarray(labels)
    classes = np.unique(labels if classes is None else classes)
    if num_ways < 2 or min(num_shots, num_queries, num_episodes) < 1:
        raise ValueError(
            f"Got {num_episodes} episodes of {num_ways} ways, {num_shots} shots and "
            f"{num_queries} queries, expected at least 2 ways and 1 of the others."
        )
    rows = [np.flatnonzero(labels == label) for label in classes]
    sizes = np.array([len(members) for members in rows], int)
    _check_supply(classes, sizes, num_ways, num_shots + num_queries)
    rng = np.random.default_rng(seed)
    chosen = _draw(np.full(num_episodes, len(classes)), num_ways, rng)
    drawn = _draw(sizes[chosen], num_shots + num_queries, rng)
    starts = np.cumsum(sizes) - sizes
    drawn = np.concatenate(rows)[starts[chosen][..., None] + drawn]
    return Episodes(classes[chosen], drawn[..., :num_shots], drawn[..., num_shots:])


def evaluate_episodes(values, drawn, classifier):
    """Accuracy of a classifier over episodes.

    Args:
        values: float (n, d), features.
        drawn: Episodes of these rows. Fewer classes of queries than of support are
            allowed: `drawn._replace(query=drawn.query[:, :1])` asks for the first
            class only.
        classifier: one of `CLASSIFIERS`, or another such function.

    Returns:
        EpisodeAccuracy.

    Raises:
        ValueError: values that are not finite rows.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(
            f"Got values of shape {values.shape}, expected finite features (n, d); "
            "extract features first."
        )
    shape = drawn.query.shape[1:]
    truth = np.broadcast_to(np.arange(shape[0])[:, None], shape)
    per_episode = (drawn.support[0].size + drawn.query[0].size) * values.shape[1]
    size = max(1, MAX_VALUES // per_episode)  # episodes at a time
    accuracies = []
    for start in range(0, len(drawn.query), size):
        part = slice(start, start + size)
        answers = classifier(values[drawn.support[part]], values[drawn.query[part]])
        accuracies.append((answers == truth).mean((1, 2)))
    accuracies = np.concatenate(accuracies)
    spread = summarise(accuracies)
    return EpisodeAccuracy(accuracies, spread.mean, spread.low, spread.high)


def centre_and_normalise(values, mean):
    """Shift features by a mean, then bring every row to length 1.

    Args:
        values: float (..., d).
        mean: float (d,), of the training classes' features. One of the queries would
            look at the test.

    Returns:
        float (..., d); a row that equals the mean stays 0.

    Source: Wang et al. 2019, SimpleShot (arXiv:1911.04623).
    """
    centred = np.asarray(values) - mean
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return centred / np.where(length > 0, length, 1)


def prototypes(support, query):
    """Nearest class mean, by Euclidean distance.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).

    Returns:
        int (E, N, Q), answers in [0, N).

    Source: Snell et al. 2017 (arXiv:1703.05175).
    """
    return transductive_prototypes(support, query, num_steps=0)


def nearest_neighbour(support, query):
    """Class of the nearest support row, by Euclidean distance.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).

    Returns:
        int (E, N, Q), answers in [0, N).
    """
    shots, rows = _centred(support, query)
    nearest = _squared_distances(rows, shots).argmin(-1)
    return (nearest // support.shape[2]).reshape(query.shape[:-1])


def ridge(support, query, strength=1.0):
    """Linear regression on one-hot classes, in closed form.

    min ||X W - Y||^2 + a ||W||^2 with X centred on the support, which does what a bias
    would do; it is solved for one number a support row and class (the dual), mostly
    fewer than features.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        strength: > 0, of the penalty: a = strength times the mean squared length of
            the rows of X, so that the unit of the features does not matter.

    Returns:
        int (E, N, Q), answers in [0, N).

    Source: Bertinetto et al. 2019 (arXiv:1805.08136), without its learned scale.
    """
    shots, rows = _centred(support, query)
    kernel = shots @ shots.swapaxes(1, 2)
    penalty = _penalty(kernel, strength) * np.eye(kernel.shape[-1], dtype=kernel.dtype)
    duals = np.linalg.solve(kernel + penalty, _one_hot(support)[None])
    return _best((rows @ shots.swapaxes(1, 2)) @ duals, query)


def logistic(support, query, strength=0.1):
    """Softmax regression without bias on features centred on the support.

    Its optimum is a weighted sum of the support rows. Newton steps with a fixed bound
    in place of the Hessian need one inverse an episode; momentum speeds them up.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        strength: > 0, as in `ridge`, for sum of cross-entropies + a/2 ||W||^2;
            scikit-learn's C is 1/a. Far below 0.01 the steps do not converge.

    Returns:
        int (E, N, Q), answers in [0, N).

    Source: Boehning 1992, doi:10.1007/BF00048682.
    """
    shots, rows = _centred(support, query)
    kernel, targets = shots @ shots.swapaxes(1, 2), _one_hot(support)
    penalty = _penalty(kernel, strength)
    bound = np.linalg.inv(kernel / 2 + penalty * np.eye(len(targets)))
    bound = bound.astype(kernel.dtype)
    duals = before = np.zeros((len(kernel), *targets.shape), kernel.dtype)
    for step in range(LOGISTIC_STEPS):
        ahead = duals + step / (step + 3) * (duals - before)
        slope = softmax(kernel @ ahead, axis=-1) - targets + penalty * ahead
        duals, before = ahead - bound @ slope, duals
    return _best((rows @ shots.swapaxes(1, 2)) @ duals, query)


def transductive_prototypes(support, query, num_steps=1, sharpness=10.0):
    """Prototypes that move towards the queries, all of which are seen at once.

    Each step weighs every query by softmax(-sharpness * squared distance / its mean)
    and takes the prototypes anew as means of support and weighted queries.

    It gains where shots are very few, clusters are the classes, and queries come in
    equal numbers from all classes, as in episodes; real use seldom knows that. Where
    a class is rare among the queries, its prototype moves towards queries of others,
    and right answers become wrong; so they do where features form other clusters. An
    answer also depends on which other images came along.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        num_steps: int >= 0; 0 gives `prototypes`.
        sharpness: >= 0; the larger, the more a query counts for its nearest
            prototype alone.

    Returns:
        int (E, N, Q), answers in [0, N).

    Source: Ren et al. 2018 (arXiv:1803.00676), with distances made free of units.
    """
    shots, rows = _centred(support, query)
    totals = shots.reshape(support.shape).sum(2)
    centres = totals / support.shape[2]
    for _ in range(num_steps):
        distances = _squared_distances(rows, centres)
        mean = distances.mean((1, 2), keepdims=True)
        shares = softmax(-sharpness * distances / np.where(mean > 0, mean, 1), axis=-1)
        counts = support.shape[2] + shares.sum(1)[..., None]
        centres = (totals + shares.swapaxes(1, 2) @ rows) / counts
    return _best(-_squared_distances(rows, centres), query)


# None of them learns from the queries.
CLASSIFIERS = {
    "prototypes": prototypes,
    "nearest neighbour": nearest_neighbour,
    "ridge": ridge,
    "logistic": logistic,
}


def episode_batches(values, drawn):
    """Turn every episode into a training batch of `PrototypicalNetwork`.

    Draw as many episodes as there are steps to train: a second iteration repeats them.
    `fit(..., epochs=20, steps_per_epoch=100)` cuts 2000 episodes into 20 epochs.

    Args:
        values: (n, ...), features, or images as in `ImageSet.images`.
        drawn: Episodes of these rows.

    Returns:
        tf.data.Dataset of E batches: float32 (N*K + N*Q, ...), support before
        queries, and int64 (N*K + N*Q,), labels in [0, N).
    """
    import tensorflow as tf

    parts = (drawn.support, drawn.query)
    rows = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    ways = [np.broadcast_to(np.arange(p.shape[1])[:, None], p.shape[1:]) for p in parts]
    labels = tf.constant(np.concatenate([way.ravel() for way in ways]), tf.int64)
    read = reader(values)
    return look_up(
        tf.data.Dataset.from_tensor_slices(rows),
        lambda rows: (tf.cast(read(rows), tf.float32), labels),
        values,
    )


@keras.saving.register_keras_serializable("tl_helpers")
class PrototypicalNetwork(keras.Model):
    """An encoder that learns to put images near the mean of their class.

    `fit` is Keras's own, on `episode_batches`; `compile` takes an optimizer and no
    loss, which is the cross-entropy of the queries over their negative squared
    distances to the prototypes. `predict` and a call give embeddings (b, d).

    Args:
        encoder: built keras.Model from images or features to (b, d).
        num_ways: N, of the episodes that it trains on.
        num_shots: K, of the same.

    Raises:
        ValueError: an encoder that is not built, or whose rows are not flat.

    Source: Snell et al. 2017 (arXiv:1703.05175).
    """

    def __init__(self, encoder, num_ways, num_shots, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        if not encoder.built or len(encoder.output_shape) != 2:
            raise ValueError(
                f"Got encoder {encoder.name!r} that is not built or has no flat "
                "output, expected a built model to (batch, width); give it a "
                "keras.Input first and pooling last."
            )
        self.encoder, self.num_ways, self.num_shots = encoder, num_ways, num_shots
        self._accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def call(self, inputs, training=None):
        """Return embeddings float32 (b, d)."""
        return ops.cast(self.encoder(inputs, training=training), "float32")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean cross-entropy of an episode's queries."""
        num_support = self.num_ways * self.num_shots
        members = ops.one_hot(y[:num_support], self.num_ways, dtype="float32")
        means = ops.matmul(ops.transpose(members), y_pred[:num_support])
        offsets = y_pred[num_support:, None] - (means / self.num_shots)[None]
        logits, labels = -ops.sum(ops.square(offsets), axis=-1), y[num_support:]
        self._accuracy.update_state(labels, logits)
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, True)
        )

    def get_config(self):
        """Return encoder, ways and shots; the weights are saved beside them."""
        return super(keras.Model, self).get_config() | {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_ways": self.num_ways,
            "num_shots": self.num_shots,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        encoder = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects
        )
        return cls(**(config | {"encoder": encoder}))


def _check_supply(classes, sizes, num_ways, num_rows):
    """Refuse fewer classes or rows than an episode takes."""
    if num_ways > len(classes):
        raise ValueError(
            f"Got num_ways={num_ways} with {len(classes)} classes, expected no more "
            "ways than classes; ask for fewer ways."
        )
    if sizes.min() < num_rows:
        raise ValueError(
            f"Got class {classes[sizes.argmin()]} with {sizes.min()} rows, expected "
            f"{num_rows}, shots and queries together; ask for fewer or leave the class "
            "out."
        )


def _draw(sizes, num_drawn, rng):
    """Draw from range(size) without replacement: (...) -> int64 (..., num_drawn).

    Source: Floyd's algorithm (Bentley & Floyd 1987, doi:10.1145/30401.315746); its
    order is not random, hence the permutation.
    """
    drawn = np.empty((*sizes.shape, num_drawn), np.int64)
    for i in range(num_drawn):
        last = sizes - num_drawn + i
        guess = rng.integers(last + 1)
        is_taken = (drawn[..., :i] == guess[..., None]).any(-1)
        drawn[..., i] = np.where(is_taken, last, guess)
    return rng.permuted(drawn, axis=-1)


def _centred(support, query):
    """Return (E, N*K, d) and (E, N*Q, d), both less the mean of the support.

    No distance changes, and float32 loses nothing to a common offset.
    """
    if support.ndim != 4 or query.ndim != 4 or support.shape[::3] != query.shape[::3]:
        raise ValueError(
            f"Got support of shape {support.shape} and query of shape {query.shape}, "
            "expected (E, N, K, d) and (E, N, Q, d) of the same E and d."
        )
    mean = support.mean((1, 2))[:, None]
    rows = (x.reshape(len(x), -1, x.shape[-1]) for x in (support, query))
    return tuple(x - mean for x in rows)


def _squared_distances(rows, others):
    """(E, m, d), (E, p, d) -> (E, m, p)."""
    squares = (rows**2).sum(-1)[..., None] + (others**2).sum(-1)[:, None]
    return squares - 2 * rows @ others.swapaxes(1, 2)


def _penalty(kernel, strength):
    """Return strength times the mean of the kernel's diagonal, (E, 1, 1)."""
    mean = np.trace(kernel, axis1=1, axis2=2)[:, None, None] / kernel.shape[-1]
    # where all rows of a support are equal, any number above 0 does
    return strength * np.where(mean > 0, mean, 1).astype(kernel.dtype)


def _one_hot(support):
    """Return the support's classes, (N*K, N)."""
    return np.eye(support.shape[1], dtype=support.dtype).repeat(support.shape[2], 0)


def _best(scores, query):
    """Return the class of the highest score, in the shape of the queries."""
    return scores.argmax(-1).reshape(query.shape[:-1])
