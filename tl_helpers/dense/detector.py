"""A detector without anchors, after FCOS: classes and a box from every cell of a map.

A cell answers for the point at its middle: which class is here, and how far is it from
here to the left, upper, right and lower side of the object's box?
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from tl_helpers.backbones.backbone import Backbone
from tl_helpers.dense.boxes import assign, cell_centres, giou
from tl_helpers.dense.segmenter import (
    BlockMaps,
    ResizeLike,
    convolve,
    maps_of,
    strides_px,
)
from tl_helpers.finetuning.classifier import HEAD, Classifier, freeze
from tl_helpers.inputs import (
    check_choice,
    check_kind,
    check_mapping,
    check_numbers,
    check_positive,
    check_share,
    check_whole,
)
from tl_helpers.training import predict_logits, share_of_a_replica

PRIOR = 0.01  # what a fresh detector gives every class: most cells see none
RADIUS = 1.5  # strides that a cell may be away from the middle of its box
FOCUS, BALANCE = 2.0, 0.25  # of the focal loss, as in its paper
AT_ONCE = 128  # images whose boxes are suppressed at a time


class Detection(NamedTuple):
    """What was found in one image, the surest first.

    Attributes:
        boxes: float32 (m, 4), x0, y0, x1, y1 in px.
        labels: int64 (m,).
        scores: float32 (m,), in [0, 1].
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@keras.saving.register_keras_serializable("tl_helpers")
class BoxesAround(layers.Layer):
    """Turn four distances a cell into a box in px, and say where the cell is.

    Args:
        stride_px: px of the image from one cell to the next.
    """

    def __init__(self, stride_px, **kwargs):
        super().__init__(**kwargs)
        self.stride_px = stride_px

    def call(self, distances):
        """Return (boxes (b, n, 4), centres (b, n, 2)) of (b, height, width, 4)."""
        height, width = ops.shape(distances)[1:3]
        centres = cell_centres(height, width, self.stride_px)[None]
        reach = ops.softplus(ops.reshape(distances, (-1, height * width, 4)))
        reach = reach * self.stride_px
        boxes = ops.concatenate([centres - reach[..., :2], centres + reach[..., 2:]], 2)
        return boxes, centres + 0 * boxes[..., :2]

    def compute_output_shape(self, shape):
        """Return the shapes of boxes and centres."""
        cells = None if None in shape[1:3] else shape[1] * shape[2]
        return (shape[0], cells, 4), (shape[0], cells, 2)

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), "stride_px": self.stride_px}


@keras.saving.register_keras_serializable("tl_helpers")
class Detector(Classifier):
    """A functional model from images to classes and boxes; `detector` builds it.

    `fit` takes batches of `image_set.batches(..., targets="boxes")`; compile it with an
    optimizer and no loss. Its loss is the focal loss of all cells and classes, over the
    number of cells with an object, plus the mean of 1 - GIoU over those cells.
    """

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss of a batch: classes, boxes, and the penalty."""
        loss = share_of_a_replica() * detection_loss(
            y["boxes"], y["labels"], y_pred, self.get_layer(f"{HEAD}_boxes").stride_px
        )
        return self.with_penalty(loss + sum(self.losses), x, training)


def detection_loss(boxes, labels, answers, stride_px):
    """Focal loss of the classes plus 1 - GIoU of the boxes.

    Args:
        boxes: float32 (b, k, 4), x0, y0, x1, y1 in px.
        labels: int (b, k); -1 for no box.
        answers: {"logits": (b, n, classes), "boxes": (b, n, 4), "centres": (b, n, 2)}.
        stride_px: px from one cell to the next.

    Returns:
        scalar.

    Source: Lin et al. 2017 (arXiv:1708.02002); Rezatofighi et al. 2019
        (arXiv:1902.09630).
    """
    logits = answers["logits"]
    own_boxes, own_labels = assign(
        boxes, labels, answers["centres"][0], RADIUS * stride_px
    )
    is_object = ops.cast(own_labels >= 0, "float32")  # (b, n)
    number = ops.maximum(ops.sum(is_object), 1.0)
    truth = ops.one_hot(ops.maximum(own_labels, 0), logits.shape[-1])
    truth = truth * is_object[..., None]
    focal = keras.losses.binary_focal_crossentropy(
        truth, ops.sigmoid(logits), True, BALANCE, FOCUS
    )  # (b, n), mean over the classes
    classes = ops.sum(focal) * logits.shape[-1] / number
    apart = is_object * (1 - giou(answers["boxes"], own_boxes))
    return classes + ops.sum(apart) / number


def detector(backbone, num_classes, block=None, map_block=None, channels=64):
    """Put a detecting head on a copy of a backbone.

    The deepest map is enlarged and set beside a finer one, on whose cells classes and
    boxes are answered.

    Args:
        backbone: Backbone whose blocks end in maps (b, height, width, channels).
        num_classes: int >= 1, without the ground.
        block: the deepest block to use; None for the last.
        map_block: block whose cells answer, at most as deep; None for the last one that
            is finer than `block`.
        channels: int >= 1, width of the head.

    Returns:
        Detector from float32 (b, height, width, 3), RGB, [0, 255], to {"logits":
        float32 (b, cells, num_classes), "boxes": float32 (b, cells, 4) in px,
        "centres": float32 (b, cells, 2) in px}. All but the head arrives frozen.

    Raises:
        ValueError: no such block, or one without height and width.
    """
    check_kind(Backbone, backbone=backbone)
    check_whole(1, num_classes=num_classes, channels=channels)
    network, maps, block_layers = maps_of(backbone, block)
    if map_block is not None:
        check_choice(tuple(block_layers), map_block=map_block)
        cells = network.get_layer(block_layers[map_block]).output
    else:
        cells = maps[-2] if len(maps) > 1 else maps[-1]
    (stride_px,) = strides_px(network, [cells])
    cells, deep = BlockMaps(block_layers, name=f"{HEAD}_features")([cells, maps[-1]])
    deep = convolve(deep, channels, f"{HEAD}_deep")
    deep = ResizeLike(name=f"{HEAD}_resize")([deep, cells])
    x = layers.Concatenate(name=f"{HEAD}_skip")([deep, cells])
    x = convolve(convolve(x, channels, f"{HEAD}_1"), channels, f"{HEAD}_2")
    logits = layers.Conv2D(
        num_classes,
        3,
        padding="same",
        bias_initializer=keras.initializers.Constant(np.log(PRIOR / (1 - PRIOR))),
        name=f"{HEAD}_classes",
    )(x)
    logits = layers.Reshape((-1, num_classes), dtype="float32", name=f"{HEAD}_logits")(
        logits
    )
    distances = layers.Conv2D(4, 3, padding="same", name=f"{HEAD}_distances")(x)
    boxes, centres = BoxesAround(stride_px, dtype="float32", name=f"{HEAD}_boxes")(
        distances
    )
    answers = {"logits": logits, "boxes": boxes, "centres": centres}
    model = Detector(network.input, answers, name="detector")
    freeze(model)
    return model


def detect(model, images, least_score=0.05, most_overlap=0.5, most=20):
    """Find objects: the surest boxes, without those that repeat a surer one.

    Args:
        model: Detector.
        images: ImageSet, or uint8 (n, height, width, 3), RGB, [0, 255].
        least_score: float in (0, 1), less sure boxes are left out.
        most_overlap: float in (0, 1), of two boxes of a class that overlap more, the
            less sure one is left out (non-maximum suppression).
        most: int >= 1, boxes an image.

    Returns:
        list of Detection, one for each image.

    Raises:
        ValueError: no Detector, or numbers out of their range.
    """
    return suppress(answer(model, images), least_score, most_overlap, most)


def answer(model, images):
    """Return what every cell of a detector says of images.

    Args:
        model: Detector.
        images: ImageSet, or uint8 (n, height, width, 3), RGB, [0, 255].

    Returns:
        {"logits": float32 (n, cells, classes), "boxes": float32 (n, cells, 4) in px,
        "centres": float32 (n, cells, 2) in px}.

    Raises:
        ValueError: no Detector, or images that do not fit it.
    """
    check_kind(Detector, model=model)
    return predict_logits(model, images)


def suppress(answers, least_score=0.05, most_overlap=0.5, most=20):
    """Keep the surest boxes, and none that repeats a surer one.

    Args:
        answers: as `answer` gives them.
        least_score: as in `detect`, like all that follow.
        most_overlap: float in (0, 1).
        most: int >= 1.

    Returns:
        list of Detection, one for each image.

    Raises:
        ValueError: other answers, or numbers out of their range.
    """
    check_mapping(answers=answers)
    if not {"logits", "boxes"} <= set(answers):
        raise ValueError(
            f"Got answers with {', '.join(map(str, answers))}, expected logits and "
            "boxes; give what dense.answer returns."
        )
    check_share(least_score=least_score, most_overlap=most_overlap)
    check_positive(least_score=least_score, most_overlap=most_overlap)
    check_whole(1, most=most)
    boxes = check_numbers("boxes", answers["boxes"], "(n, cells, 4)")
    logits = check_numbers("logits", answers["logits"], "(n, cells, classes)")

    import tensorflow as tf

    found = []
    for start in range(0, len(boxes), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        kept = tf.image.combined_non_max_suppression(
            boxes[rows, :, None],
            1 / (1 + np.exp(-logits[rows])),
            max_output_size_per_class=most,
            max_total_size=most,
            iou_threshold=most_overlap,
            score_threshold=least_score,
            clip_boxes=False,
        )
        places, scores, labels, numbers = (part.numpy() for part in kept)
        found += [
            Detection(places[i, :m], labels[i, :m].astype(np.int64), scores[i, :m])
            for i, m in enumerate(numbers)
        ]
    return found
