"""SimCLR and SimSiam as Keras models: an encoder learns from two views, no labels."""

import keras
from keras import layers, ops

from tl_helpers.inputs import check_kind, check_positive, check_whole
from tl_helpers.pretraining.losses import negative_cosine, nt_xent
from tl_helpers.training import predict_logits, share_of_a_replica

WIDTH = 128  # of the projections
BOTTLENECK = 4  # a predictor is so many times narrower in its middle
MOMENTUM = 0.9  # of BatchNormalization: trainings are short


class TwoViewModel(keras.Model):
    """An encoder that learns from two views of every image, in Keras's own fit.

    `fit` takes what `two_views` makes: {"first": images, "second": images}, labels
    being passed over. Plain images give embeddings (b, d), the encoder's output,
    in `predict` and a call; the networks behind it serve the training only.

    Args:
        encoder: built keras.Model from images to rows (b, d), such as
            `backbone.extractor()`; a frozen one learns nothing.
        projector: built keras.Model from such rows to projections; None for
            `projection_head`.

    Raises:
        ValueError: networks that do not fit, or an encoder without trainable weights.
    """

    parts = ("encoder", "projector")
    settings = ()

    def __init__(self, encoder, projector=None, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        _check_network("encoder", encoder)
        if not encoder.trainable_weights:
            raise ValueError(
                f"Got encoder {encoder.name!r} without trainable weights, expected one "
                "that can learn; set backbone.network.trainable = True."
            )
        width = encoder.output_shape[-1]
        self.encoder = encoder
        self.projector = projection_head(width) if projector is None else projector
        _check_network("projector", self.projector, width)

    def call(self, inputs, training=None):
        """Return embeddings (b, d) of images; of two views, what the loss needs."""
        if not isinstance(inputs, dict):
            return self.encoder(inputs, training=training)
        views = ops.concatenate([inputs["first"], inputs["second"]], axis=0)
        embedded = self.encoder(views, training=training)
        return self.forward(embedded, training)

    def forward(self, embedded, training):
        """Return {name: (b, d)} for the loss from embeddings (2b, d) of both views."""
        first, second = _halves(self.projector(embedded, training=training))
        return {"first": first, "second": second}

    def view_loss(self, outputs):
        """Return the scalar loss of what `forward` returned."""
        raise NotImplementedError

    def projections(self, images):
        """Return the projections of plain images.

        Args:
            images: ImageSet, or uint8 or float32 (n, height, width, 3), RGB, [0, 255].

        Returns:
            float32 (n, d).
        """
        return predict_logits(self.projector, predict_logits(self.encoder, images))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss that Keras's fit minimises."""
        if not isinstance(y_pred, dict):
            raise ValueError(
                "Got a batch of plain images, expected two views of each; give "
                "images.batches(..., augment=two_views(policy))."
            )
        if sample_weight is not None:
            raise ValueError(
                "Got sample_weight, expected none: every image counts alike; leave "
                "images out instead."
            )
        share = share_of_a_replica()
        return share * (self.view_loss(y_pred) + sum(self.losses))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Return the loss: labels, and metrics of them, play no part."""
        return self.get_metrics_result()

    def get_config(self):
        """Return the networks and settings; current weights are saved beside them."""
        pack = keras.saving.serialize_keras_object
        networks = {name: pack(getattr(self, name)) for name in self.parts}
        settings = {name: getattr(self, name) for name in self.settings}
        return super(keras.Model, self).get_config() | networks | settings

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        config = dict(config)
        for name in cls.parts:
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects
            )
        return cls(**config)


@keras.saving.register_keras_serializable("tl_helpers")
class SimCLR(TwoViewModel):
    """Two views of an image belong together, all others of the batch apart.

    loss = `nt_xent` of the projections. The more images a batch has, the more there is
    to be told apart: 128 or more.

    Args:
        encoder: as for `TwoViewModel`.
        projector: as for `TwoViewModel`.
        temperature: float > 0; the smaller, the more the nearest others weigh.

    Raises:
        ValueError: networks that do not fit, or a temperature that is not above 0.

    Source: Chen et al. 2020 (arXiv:2002.05709).
    """

    settings = ("temperature",)

    def __init__(self, encoder, projector=None, temperature=0.5, **kwargs):
        check_positive(temperature=temperature)
        super().__init__(encoder, projector, **kwargs)
        self.temperature = float(temperature)
        self.built = True

    def view_loss(self, outputs):
        """Return `nt_xent` of both views."""
        return nt_xent(outputs["first"], outputs["second"], self.temperature)


@keras.saving.register_keras_serializable("tl_helpers")
class SimSiam(TwoViewModel):
    """One view predicts the other, which is held still: no others are needed.

    loss = half of `negative_cosine` from each view's prediction to the other's
    projection. Nothing but the held target and the predictor stands against collapse:
    watch it with `WarnOfCollapse`.

    Args:
        encoder: as for `TwoViewModel`.
        projector: as for `TwoViewModel`.
        predictor: built keras.Model from projections to projections; None for
            `prediction_head`.

    Raises:
        ValueError: networks that do not fit.

    Source: Chen & He 2021 (arXiv:2011.10566).
    """

    parts = ("encoder", "projector", "predictor")

    def __init__(self, encoder, projector=None, predictor=None, **kwargs):
        super().__init__(encoder, projector, **kwargs)
        width = self.projector.output_shape[-1]
        self.predictor = prediction_head(width) if predictor is None else predictor
        _check_network("predictor", self.predictor, width, width)
        self.built = True

    def forward(self, embedded, training):
        """Return projections and predictions of both views."""
        projected = self.projector(embedded, training=training)
        first, second = _halves(self.predictor(projected, training=training))
        outputs = dict(zip(("first", "second"), _halves(projected), strict=True))
        return outputs | {"first_prediction": first, "second_prediction": second}

    def view_loss(self, outputs):
        """Return the mean of both directions."""
        forth = negative_cosine(outputs["first_prediction"], outputs["second"])
        back = negative_cosine(outputs["second_prediction"], outputs["first"])
        return (forth + back) / 2


def projection_head(width, projected=WIDTH):
    """Build the network between embeddings and loss, which is thrown away afterwards.

    Args:
        width: int >= 1, of the embeddings.
        projected: int >= 1, of the projections.

    Returns:
        keras.Model from (b, width) to (b, projected), float32.

    Source: Chen et al. 2020 (arXiv:2002.05709), section 4.2.
    """
    check_whole(1, width=width, projected=projected)
    stack = [
        layers.Dense(width, use_bias=False, name="projector_1"),
        layers.BatchNormalization(momentum=MOMENTUM, name="projector_1_norm"),
        layers.ReLU(name="projector_relu"),
        layers.Dense(projected, use_bias=False, name="projector_2"),
        layers.BatchNormalization(momentum=MOMENTUM, name="projector_norm"),
    ]
    return keras.Sequential([keras.Input((width,)), *stack], name="projector")


def prediction_head(width):
    """Build SimSiam's predictor, narrow in its middle.

    Args:
        width: int >= 1, of the projections.

    Returns:
        keras.Model from (b, width) to (b, width), float32.

    Source: Chen & He 2021 (arXiv:2011.10566), section 3.
    """
    check_whole(1, width=width)
    stack = [
        layers.Dense(max(1, width // BOTTLENECK), use_bias=False, name="predictor_1"),
        layers.BatchNormalization(momentum=MOMENTUM, name="predictor_norm"),
        layers.ReLU(name="predictor_relu"),
        layers.Dense(width, name="predictor_2"),
    ]
    return keras.Sequential([keras.Input((width,)), *stack], name="predictor")


def _halves(rows):
    """Cut (2b, d) into the rows of the first and of the second view."""
    return ops.split(rows, 2, axis=0)


def _check_network(name, network, takes=None, gives=None):
    check_kind(keras.Model, **{name: network})
    built = getattr(network, "output_shape", None) if network.built else None
    is_rows = isinstance(built, tuple) and len(built) == 2 and None not in built[1:]
    fits = is_rows and takes in (None, network.input_shape[-1])
    if not fits or gives not in (None, built[-1]):
        wanted = f"rows (n, {takes or '...'}) to rows (n, {gives or 'd'})"
        start = "images" if takes is None else wanted.partition(" to ")[0]
        raise ValueError(
            f"Got {name} {network.name!r} with output shape {built}, expected a built "
            f"model from {start} to {wanted.partition(' to ')[2]}; average maps over "
            "height and width, as backbone.extractor() does."
        )
