"""Keras's augmentation layers as named policies; labels, masks and boxes follow."""

import contextlib
import functools

import keras
import numpy as np
from keras import layers
from scipy.special import softmax

from tl_helpers.inputs import (
    check_flag,
    check_kind,
    check_labels,
    check_numbers,
    check_tensor,
    check_whole,
    shown,
)
from tl_helpers.training import check_fits

MAX_SHIFT = 1 / 8  # of the side: 4 px of 32
MAX_TURN = 15 / 360  # of a full turn, to either side
BATCH_SIZE = 128
#: What comes in from outside is the image mirrored at its edge: a border in black costs
#: accuracy by itself. With boxes it is black: a mirrored object would be in no box.
FILL, FILL_BESIDE_BOXES = "reflect", "constant"
_BOXES = {"bounding_box_format": "xyxy"}
_GEOMETRY = {"fill_mode": FILL, "fill_value": 0.0, **_BOXES}
#: Keras before 3.15 blurs masks together with the images; there both stay sharp.
_IS_BLURRING_MASKS = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)
if _IS_BLURRING_MASKS:
    _GEOMETRY["interpolation"] = "nearest"

#: On other backends Keras's layers draw, inside `tf.data`, from states of their own.
_IS_SHARING = keras.backend.backend() == "tensorflow"


class Policy:
    """Random changes of images, drawn anew at every call.

    A policy is a source of random numbers and so moves on with every batch. Give every
    training a policy of its own, or `fresh()`: a run then repeats exactly. Policies of
    one name share what TensorFlow compiles, which is done once.

    Attributes:
        name: one of `names()`, or several joined by "+".
        num_classes: width of one-hot labels.
        has_flips: whether images are mirrored.
        seed: int, decides every draw.
        variables: list of keras.Variable, from which the next draws follow.
    """

    def __init__(self, name, num_classes, has_flips, seed):
        _check_name(name)
        check_whole(1, num_classes=num_classes)
        check_flag(has_flips=has_flips)
        check_whole(seed=seed)
        make = _shared_recipe if _IS_SHARING else _Recipe
        own_seed = 0 if _IS_SHARING else seed
        self._recipe = make(name, int(num_classes), bool(has_flips), own_seed)
        self.name = name
        self.num_classes = num_classes
        self.has_flips = has_flips
        self.seed = seed
        self.variables = self._recipe.first_states(seed)

    def __repr__(self):
        """Return one line: name, flips and seed."""
        flips = "with" if self.has_flips else "without"
        return f"Policy({self.name}, {flips} flips, seed {self.seed})"

    def __call__(self, images, labels=None):
        """Change a batch.

        Args:
            images: uint8 or float32 (b, height, width, 3), RGB, [0, 255]; NumPy, or
                tensors inside `tf.data`. Or a dictionary as Keras's layers take it:
                "images" with any of "labels"; "segmentation_masks" (b, height, width)
                or (b, height, width, 1); "bounding_boxes", itself a dictionary of
                "boxes" (b, k, 4), x0, y0, x1, y1 in px, and "labels" (b, k), which
                become -1 where a box has left the image.
            labels: int (b,), or one-hot rows (b, classes), or None.

        Returns:
            (images, labels), images alone, or a dictionary, just as given. Images are
            float32 of the same shape in [0, 255]. Labels are as they came, but
            float32 (b, classes), rows of sum 1, after "mixup", "cutmix" and "one_hot".

        Raises:
            ValueError: images are not a batch, labels that do not fit them, or masks
                or boxes for a mixed image.
        """
        data = dict(images) if isinstance(images, dict) else {"images": images}
        if labels is not None:
            data["labels"] = labels
        self._check(data)
        states = [variable.value for variable in self.variables]
        result, states = self._recipe.graph(data, states)
        for variable, state in zip(self.variables, states, strict=True):
            variable.assign(state)
        if isinstance(data["images"], np.ndarray):
            result = keras.tree.map_structure(lambda tensor: tensor.numpy(), result)
        if isinstance(images, dict):
            return result
        return result["images"] if labels is None else (*result.values(),)

    def fresh(self, seed=None):
        """Return the same policy at its first draw.

        Args:
            seed: int, for the first draw of another seed; None for its own.

        Returns:
            Policy with draws of its own.
        """
        seed = self.seed if seed is None else seed
        return Policy(self.name, self.num_classes, self.has_flips, seed)

    @property
    def is_mixing(self):
        """Whether images of different classes are blended."""
        return bool({"mixup", "cutmix"} & set(_parts(self.name)))

    def _check(self, data):
        images, labels = data["images"], data.get("labels")
        check_tensor("images", images, "(b, ...)")
        if isinstance(images, np.ndarray) and np.shape(labels)[1:2] > (1,):
            check_numbers("labels", labels, f"({len(images)}, classes)")
        elif isinstance(images, np.ndarray) and labels is not None:
            check_labels("", images, labels)
        shape = np.shape(images)
        if len(shape) != 4 or shape[-1] != 3:
            raise ValueError(
                f"Got images of shape {tuple(shape)}, expected a batch (b, height, "
                "width, 3); put images[None] around a single one."
            )
        placed = {"segmentation_masks", "bounding_boxes"} & data.keys()
        if self.is_mixing and placed:
            raise ValueError(
                f"Got {sorted(placed)} for {self.name}, which blends two images, so "
                "that neither's are right; use a policy without mixup and cutmix."
            )


class _Recipe:
    """The layers of a policy and what TensorFlow makes of them, whatever the seed.

    The states of the random numbers go in and come out, so that policies of different
    seeds share one graph: to trace `rand_augment` takes longer than a short training.
    """

    def __init__(self, name, num_classes, has_flips, seed):
        import tensorflow as tf

        self.num_classes = num_classes
        self.has_flips = has_flips
        seeds = _distinct_seeds(seed)
        with _float32_channels_last():
            self.steps = [
                step for part in _parts(name) for step in _RECIPES[part](self, seeds)
            ]
        self.graph = tf.function(self._run, autograph=False, reduce_retracing=True)

    @property
    def own_states(self):
        """List the layers' variables, which the graph replaces by what it is given."""
        if not _IS_SHARING:
            return []
        return [one for step in self.steps for one in getattr(step, "variables", ())]

    def first_states(self, seed):
        """Return new variables at the first draw of a seed."""
        seeds, states = _distinct_seeds(seed), []
        for own in self.own_states:
            value = np.array([next(seeds), 0], own.dtype)
            states.append(keras.Variable(value, trainable=False, dtype=own.dtype))
        return states

    def _run(self, data, states):
        """Run the steps on the CPU, where `tf.data` runs, and restore the types."""
        import tensorflow as tf

        scope = keras.StatelessScope(zip(self.own_states, states, strict=True))
        with scope, tf.device("CPU:0"), _float32_channels_last():
            moved, labels = _as_floats(data), data.get("labels")
            for step in self.steps:
                moved, labels = step(moved, labels)
        states = [scope.get_current_value(own) for own in self.own_states]
        result = data | {"images": tf.clip_by_value(moved["images"], 0, 255)}
        if labels is not None:
            result["labels"] = labels
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            shaped = tf.reshape(moved["segmentation_masks"], tf.shape(masks))
            result["segmentation_masks"] = tf.cast(shaped, masks.dtype)
        if "bounding_boxes" in data:
            boxes, given = moved["bounding_boxes"], data["bounding_boxes"]
            is_there = boxes["labels"] >= 0
            gone = tf.cast(-1, given["labels"].dtype)
            labels = tf.where(is_there, given["labels"], gone)
            result["bounding_boxes"] = {"boxes": boxes["boxes"], "labels": labels}
        return result, states


_shared_recipe = functools.lru_cache(maxsize=32)(_Recipe)


def policy(name, classes, seed=0, flip=None):
    """Assemble a policy.

    Args:
        name: one of `names()`, or several joined by "+", carried out in that order:
            "flip_crop+mixup".
        classes: ImageSet, or a number of classes.
        seed: int >= 0: the same seed draws the same changes for the same batches.
        flip: mirror left and right; None for yes, but where every class of the
            ImageSet is a digit or a letter: a mirrored b is a d.

    Returns:
        Policy, for `image_set.batches(..., augment=policy)` or to call on arrays. Its
        labels decide the loss: `SparseCategoricalCrossentropy` for numbers;
        `CategoricalCrossentropy` for rows, which "mixup" and "cutmix" return. Then
        give validation images, and policies to compare with, rows too: "one_hot",
        "flip_crop+one_hot".

    Raises:
        ValueError: unknown name.
    """
    _check_name(name)
    class_names = getattr(classes, "class_names", ())
    num_classes = len(class_names) or classes
    if flip is None:
        flip = not (class_names and all(map(_is_character, class_names)))
    return Policy(name, num_classes, flip, seed)


def names():
    """Return every name that `policy` knows."""
    return tuple(_RECIPES)


def predict_views(model, images, views, num_views=8):
    """Average a classifier's answers over views of every image.

    The first view is the image itself, the others are drawn from the policy, from its
    first draw on: the same call gives the same answer.

    Args:
        model: keras.Model from float32 (b, height, width, 3), RGB, [0, 255], to logits
            (b, classes).
        images: uint8 or float32 (n, height, width, 3), RGB, [0, 255].
        views: Policy that leaves labels alone.
        num_views: int >= 1; with 1 this is the model's own softmax.

    Returns:
        float32 (n, classes): probabilities, rows of sum 1.

    Raises:
        ValueError: the policy mixes images, or there is no view.
    """
    check_kind(Policy, views=views)
    check_whole(1, num_views=num_views)
    if views.is_mixing:
        raise ValueError(
            f"Got {num_views} views of policy {views.name}, expected a policy without "
            "mixup and cutmix, which blend an image with others; take flip_crop."
        )
    images = check_numbers("images", images, "(n, height, width, 3)")
    check_fits(model, images.shape)
    views = views.fresh()
    batches = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE].astype("float32")
        shown = [batch, *(views(batch) for _ in range(num_views - 1))]
        logits = np.stack([model.predict_on_batch(view) for view in shown])
        batches.append(softmax(logits.astype("float32"), axis=-1).mean(axis=0))
    return np.concatenate(batches)


def _distinct_seeds(seed):
    """Yield another seed for every layer: equal ones would draw the same numbers."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(2**31))


@contextlib.contextmanager
def _float32_channels_last():
    """What layers built or traced inside work in, however Keras is set for networks.

    Under float16 some of these layers fail, and the others round images to it. To give
    every layer its `dtype` would not do: some build others inside.
    """
    config = keras.config
    found = config.dtype_policy(), config.floatx(), config.image_data_format()
    try:
        _set_keras("float32", "float32", "channels_last")
        yield
    finally:
        _set_keras(*found)


def _set_keras(dtype_policy, floatx, data_format):
    keras.config.set_dtype_policy(dtype_policy)
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(data_format)


def _check_name(name):
    if not isinstance(name, str) or set(_parts(name)) - _RECIPES.keys():
        raise ValueError(
            f"Got {shown('policy', name)}, expected one of {', '.join(names())}, or "
            "some of them joined by '+'."
        )


def _parts(name):
    return name.split("+")


def _is_character(class_name):
    return len(class_name) == 1 or class_name.isdigit()


def _as_floats(data):
    """What Keras's layers shall move, without the labels.

    Inside `tf.data` a layer makes float32 of all that it is given.
    """
    import tensorflow as tf

    result = {"images": tf.cast(data["images"], tf.float32)}
    if "segmentation_masks" in data:
        masks = tf.cast(data["segmentation_masks"], tf.float32)
        result["segmentation_masks"] = (
            masks if len(masks.shape) == 4 else masks[..., None]
        )
    if "bounding_boxes" in data:
        result["bounding_boxes"] = {
            name: tf.cast(values, tf.float32)
            for name, values in data["bounding_boxes"].items()
        }
    return result


def _each(layer):
    """Step: send everything through a Keras layer, which draws for each image."""

    def step(data, labels):
        return _call(layer, data), labels

    step.variables = layer.variables
    return step


def _call(layer, data):
    """Call a layer, with the border that these data need."""
    if hasattr(layer, "fill_mode"):  # read while TensorFlow traces
        has_boxes = "bounding_boxes" in data
        layer.fill_mode = FILL_BESIDE_BOXES if has_boxes else FILL
    return layer(data, training=True)


def _one_of(choices, seed):
    """Step: send every image through one of several layers, drawn for each image.

    `keras.layers.RandAugment` draws once for the whole batch, turns and shifts to one
    side only, and computes every layer to keep the result of one.
    """
    import tensorflow as tf

    generator = keras.random.SeedGenerator(seed)

    def step(data, labels):
        num_images = tf.shape(data["images"])[0]
        drawn = tf.random.stateless_uniform(
            (num_images,), generator.next(), 0, len(choices), tf.int32
        )
        rows = tf.dynamic_partition(tf.range(num_images), drawn, len(choices))
        parts = []
        for layer, own in zip(choices, rows, strict=True):
            part = keras.tree.map_structure(lambda x, own=own: tf.gather(x, own), data)
            parts.append(_call(layer, part))
        stitched = keras.tree.map_structure(
            lambda *values: tf.dynamic_stitch(rows, values), *parts
        )
        return stitched, labels

    own = [one for layer in choices for one in layer.variables]
    step.variables = [generator.state, *own]
    return step


def _one_hot(num_classes):
    """Step: make one-hot rows of integer labels; rows pass."""
    import tensorflow as tf

    def step(data, labels):
        if labels is None or labels.shape[1:] == (num_classes,):
            return data, labels
        if len(labels.shape) != 1:
            raise ValueError(
                f"Got labels of shape {tuple(labels.shape)}, expected class numbers "
                f"(b,) or rows (b, {num_classes}); take ravel() of a column."
            )
        sentence = (
            f"Got a label that is none of the {num_classes} classes of this policy; "
            "give policy() the ImageSet or its number of classes."
        )
        checks = [
            tf.debugging.assert_less(
                labels, tf.cast(num_classes, labels.dtype), sentence
            ),
            tf.debugging.assert_non_negative(labels, sentence),
        ]
        with tf.control_dependencies(checks):
            return data, tf.one_hot(labels, num_classes)

    return step


def _mix(layer):
    """Step: blend images with others of the batch, and their labels likewise."""

    def step(data, labels):
        if labels is None:
            return layer(data, training=True), None
        mixed = layer({"images": data["images"], "labels": labels}, training=True)
        return {"images": mixed["images"]}, mixed["labels"]

    step.variables = layer.variables
    return step


def _flip_crop(recipe, seeds):
    settings = _GEOMETRY | {"interpolation": "nearest"}
    shift = layers.RandomTranslation(MAX_SHIFT, MAX_SHIFT, seed=next(seeds), **settings)
    return [*_flip(recipe, seeds), _each(shift)]


def _flip(recipe, seeds):
    flip = layers.RandomFlip("horizontal", seed=next(seeds), **_BOXES)
    return [_each(flip)] if recipe.has_flips else []


def _rotate_zoom(recipe, seeds):
    turn = layers.RandomRotation(MAX_TURN, seed=next(seeds), **_GEOMETRY)
    zoom = layers.RandomZoom((-0.15, 0.15), seed=next(seeds), **_GEOMETRY)
    return [_each(turn), _each(zoom)]


def _colour(recipe, seeds):
    jitter = layers.RandomColorJitter(
        brightness_factor=0.2,
        contrast_factor=(0.3, 0.3),  # a single number would only raise it
        saturation_factor=(0.3, 0.7),  # 0.5 changes nothing
        hue_factor=0.1,
        seed=next(seeds),
        **_BOXES,
    )
    return [_each(jitter)]


def _views(recipe, seeds):
    """Strong changes that leave alone which thing it is: for two views of an image.

    A crop, the flip, colours and sometimes grey, as SimCLR draws them, but no crop
    below half of a side: a small image has its one thing in the middle.
    """
    shift = layers.RandomTranslation(
        MAX_SHIFT, MAX_SHIFT, seed=next(seeds), **_GEOMETRY
    )
    zoom = layers.RandomZoom((-0.4, 0.0), seed=next(seeds), **_GEOMETRY)
    jitter = layers.RandomColorJitter(
        brightness_factor=0.4,
        contrast_factor=(0.4, 0.4),
        saturation_factor=(0.2, 0.8),
        hue_factor=0.2,
        seed=next(seeds),
        **_BOXES,
    )
    # goes any part of the way; `RandomGrayscale` takes no dictionary (Keras 3.15)
    grey = layers.RandomColorDegeneration(1.0, seed=next(seeds), **_BOXES)
    return [*_flip(recipe, seeds), *map(_each, (shift, zoom, jitter, grey))]


def _erase(recipe, seeds):
    # a single factor would be the upper end of a range of probabilities
    patch = layers.RandomErasing(
        (0.5, 0.5), (0.02, 0.33), fill_value=127.0, seed=next(seeds), **_BOXES
    )
    return [_each(patch)]


def _rand_augment(recipe, seeds):
    """Two of nine layers for each image, after the flip."""
    steps = _flip(recipe, seeds)
    for _ in range(2):
        choices = [
            layers.RandomRotation(2 * MAX_TURN, seed=next(seeds), **_GEOMETRY),
            layers.RandomTranslation(0.2, 0.2, seed=next(seeds), **_GEOMETRY),
            layers.RandomZoom((-0.3, 0.3), seed=next(seeds), **_GEOMETRY),
            layers.RandomBrightness(0.3, seed=next(seeds), **_BOXES),
            layers.RandomContrast((0.5, 0.5), seed=next(seeds), **_BOXES),
            layers.RandomColorDegeneration(1.0, seed=next(seeds), **_BOXES),
            layers.RandomSharpness((0.0, 1.0), seed=next(seeds), **_BOXES),
            layers.RandomPosterization((4, 8), seed=next(seeds), **_BOXES),
            layers.AutoContrast(**_BOXES),
        ]
        steps.append(_one_of(choices, next(seeds)))
    return steps


def _blend(layer_class, **settings):
    """Recipe of a layer that mixes images, after their labels became rows."""

    def steps(recipe, seeds):
        layer = layer_class(seed=next(seeds), **settings)
        return [_one_hot(recipe.num_classes), _mix(layer)]

    return steps


_RECIPES = {
    "none": lambda recipe, seeds: [],
    "flip_crop": _flip_crop,
    "rotate_zoom": _rotate_zoom,
    "colour": _colour,
    "erase": _erase,
    "views": _views,
    "rand_augment": _rand_augment,
    "mixup": _blend(layers.MixUp, alpha=0.2),
    "cutmix": _blend(layers.CutMix, factor=(1.0, 1.0)),  # any size of patch
    "one_hot": lambda recipe, seeds: [_one_hot(recipe.num_classes)],
}
