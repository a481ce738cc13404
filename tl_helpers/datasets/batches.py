"""Arrays and image files -> batches of a `tf.data.Dataset`."""

import numpy as np

from tl_helpers.inputs import check_rows

MAX_CACHED_BYTES = 2**30  # decoded files are kept in memory up to this much


def is_in_memory(values):
    """Whether the rows are an array, or few enough files to decode them only once."""
    num_bytes = int(np.prod(values.shape))
    return isinstance(values, np.ndarray) or num_bytes <= MAX_CACHED_BYTES


def reader(values):
    """Return a function for `tf.data`: rows, int64 (b,) -> values (b, ...) of them.

    Args:
        values: (n, ...) array, or files that decode to uint8 when indexed.
    """
    import tensorflow as tf

    if is_in_memory(values):
        with tf.device("CPU:0"):
            tensor = tf.constant(values[:])  # files are decoded here
        return lambda rows: tf.gather(tensor, rows)

    def decode(rows):
        images = tf.numpy_function(lambda rows: values[rows], [rows], tf.uint8)
        return tf.ensure_shape(images, (None, *values.shape[1:]))

    return decode


def reader_of_each(values):
    """Return a `reader` of an array, or of each array in a dictionary."""
    if not isinstance(values, dict):
        return reader(values)
    readers = {name: reader(one) for name, one in values.items()}
    return lambda rows: {name: read(rows) for name, read in readers.items()}


def in_order(order, num_rows):
    """Return a `tf.data.Dataset` of row numbers that asks anew at every epoch.

    Args:
        order: callable without arguments -> int64 (num_rows,).
        num_rows: int.
    """
    import tensorflow as tf

    def ask(_):
        rows = tf.numpy_function(lambda: check_rows(order(), num_rows), [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, (num_rows,)))

    rows = tf.data.Dataset.range(1).flat_map(ask)
    return rows.apply(tf.data.experimental.assert_cardinality(num_rows))


def num_threads(values):
    """Return how many calls of `map` may read them at a time."""
    import tensorflow as tf

    # from memory it is a look-up, which threads would only slow down
    return None if is_in_memory(values) else tf.data.AUTOTUNE


def look_up(rows, read, *values):
    """Map a `tf.data.Dataset` of rows to what stands in them.

    From memory nothing is read ahead, hence no epoch ends before its last step.

    Args:
        rows: tf.data.Dataset of row numbers.
        read: callable on its elements, made of `reader`s.
        *values: what those read from.
    """
    slowest = max(values, key=lambda one: not is_in_memory(one))
    data = rows.map(read, num_threads(slowest))
    return untuned(data if is_in_memory(slowest) else data.prefetch(2))


def untuned(data):
    """Return a `tf.data.Dataset` whose buffers and threads stay as they are.

    The tuner's thread sleeps 10 ms, 20 ms, 40 ms, ... and the end of an epoch waits for
    it: a short fit took up to twice its time (TensorFlow 2.21).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
