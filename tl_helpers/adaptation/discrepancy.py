"""Adaptation without a discriminator: a distance between domains, or two heads."""

import keras
from keras import ops

from tl_helpers.adaptation.base import FeatureAdapter, check_fit
from tl_helpers.adaptation.losses import coral_loss, mmd_loss
from tl_helpers.adaptation.reversal import reverse_gradient

OUTPUT = "(output)"  # no layer can have this name
LOSSES = {"coral": coral_loss, "mmd": mmd_loss}


@keras.saving.register_keras_serializable("tl_helpers")
class Discrepancy(FeatureAdapter):
    """Make the features of both domains alike in covariance, or in kernel mean.

    loss = class loss + strength x sum of the distances at the chosen layers.

    Args:
        encoder: built keras.Model from images, or features, to (b, d).
        head: built keras.Model from (b, d) to class logits (b, classes).
        loss: "coral" or "mmd".
        strength: float >= 0. CORAL is divided by 4 d^2 and so very small: strengths of
            hundreds and more are normal on wide features.
        align: names of layers of encoder or head whose outputs are compared; () for
            the encoder's output.
        joint_batch: as in DANN.

    Logs `class_loss` and `distance`, the sum over the layers before strength.

    Raises:
        ValueError: networks that do not fit each other, or an unknown loss or layer.

    Source: Sun and Saenko 2016 (arXiv:1607.01719); Long et al. 2015
        (arXiv:1502.02791).
    """

    logged = ("distance",)

    def __init__(
        self,
        encoder,
        head,
        loss="coral",
        strength=1.0,
        align=(),
        joint_batch=False,
        **kwargs,
    ):
        super().__init__(encoder, head, strength, joint_batch, **kwargs)
        if loss not in LOSSES:
            raise ValueError(f"Got loss {loss!r}, expected one of {', '.join(LOSSES)}.")
        self.loss_name, self.align = loss, tuple(align)
        self._encoder_taps = _tapped(encoder, self.align)
        self._head_taps = _tapped(head, self.align)
        known = {*self._encoder_taps.output, *self._head_taps.output}
        if not known.issuperset(self.align):
            names = [x.name for x in (*encoder.layers[1:], *head.layers[1:])]
            raise ValueError(
                f"Got layers {', '.join(self.align)} to align, expected some of "
                f"{', '.join(names)}."
            )
        self.built = True

    def forward(self, source, target, training):
        """Return the source's logits, and pairs of outputs that shall be alike."""
        features = self.both(self._encoder_taps, source, target, training)
        results = self.both(
            self._head_taps, features[0][OUTPUT], features[1][OUTPUT], training
        )
        outputs = [
            head | encoder for head, encoder in zip(results, features, strict=True)
        ]
        aligned = [[part[name] for part in outputs] for name in self.align or (OUTPUT,)]
        return {"logits": [results[0][OUTPUT]], "aligned": aligned}

    def adaptation_loss(self, outputs):
        """Return strength times the sum of the distances."""
        distance = sum(LOSSES[self.loss_name](*pair) for pair in outputs["aligned"])
        return self.strength * distance, {"distance": distance}

    def get_config(self):
        """Return the networks and settings."""
        return {**super().get_config(), "loss": self.loss_name, "align": self.align}


@keras.saving.register_keras_serializable("tl_helpers")
class MCD(FeatureAdapter):
    """Maximum classifier discrepancy: two heads that disagree on what is unknown.

    discrepancy = mean over the target of |p1 - p2|, summed over classes and divided
    by their number, p1 and p2 the heads' class probabilities. The heads raise it while
    both answer the source correctly; the encoder lowers it, times strength, and so
    moves target features to where the source's labels speak for both. The paper does
    this in three steps a batch, with 2 to 4 repetitions of the last, for which
    strength stands here; a gradient reversal makes it one.

    loss = mean class loss of the heads - discrepancy

    Args:
        encoder: built keras.Model from images, or features, to (b, d).
        head: built keras.Model from (b, d) to class logits (b, classes).
        second_head: the same with other weights; None for a copy of the head that
            starts elsewhere.
        strength: float >= 0.
        joint_batch: as in DANN.

    Predicts with the mean of both heads' logits. Logs `class_loss` and `discrepancy`.

    Raises:
        ValueError: networks that do not fit each other.

    Source: Saito et al. 2018 (arXiv:1712.02560).
    """

    parts = ("encoder", "head", "second_head")
    logged = ("discrepancy",)

    def __init__(
        self,
        encoder,
        head,
        second_head=None,
        strength=1.0,
        joint_batch=False,
        **kwargs,
    ):
        super().__init__(encoder, head, strength, joint_batch, **kwargs)
        # a clone draws its own initial weights
        self.second_head = second_head or keras.models.clone_model(head)
        check_fit(encoder, self.second_head, ("encoder", "second head"))
        self.built = True

    def classify(self, images, training=None):
        """Return the mean of both heads' logits (b, classes)."""
        features = self.encoder(images, training=training)
        heads = (self.head, self.second_head)
        return sum(head(features, training=training) for head in heads) / 2

    def forward(self, source, target, training):
        """Return both heads' logits of the source, and probabilities of the target."""
        source, target = self.both(self.encoder, source, target, training)
        target = reverse_gradient(target, self.strength)
        logits = [
            self.both(head, source, target, training)
            for head in (self.head, self.second_head)
        ]
        return {
            "logits": [of_source for of_source, _ in logits],
            "answers": [
                ops.softmax(ops.cast(of_target, "float32")) for _, of_target in logits
            ],
        }

    def adaptation_loss(self, outputs):
        """Return minus the discrepancy, which the encoder sees with turned sign."""
        first, second = outputs["answers"]
        discrepancy = ops.mean(ops.abs(first - second))
        return -discrepancy, {"discrepancy": discrepancy}


def _tapped(network, names):
    """Return the network with all of its outputs that are wanted, by name."""
    taps = {x.name: x.output for x in network.layers if x.name in names}
    return keras.Model(network.inputs, {OUTPUT: network.outputs[0], **taps})
