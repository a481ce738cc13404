"""Adaptation without a discriminator: a distance between the domains' features."""

import keras

from tl_helpers.adaptation.base import FeatureAdapter
from tl_helpers.adaptation.losses import coral_loss, mmd_loss
from tl_helpers.inputs import check_choice, check_kind

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
        check_choice(LOSSES, loss=loss)
        check_kind(tuple, list, align=align)
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
        taps = self.both(self._encoder_taps, source, target, training)
        results = self.both(self._head_taps, *(x[OUTPUT] for x in taps), training)
        outputs = [head | own for head, own in zip(results, taps, strict=True)]
        aligned = [[own[name] for own in outputs] for name in self.align or (OUTPUT,)]
        return {"logits": [results[0][OUTPUT]], "aligned": aligned}

    def adaptation_loss(self, outputs):
        """Return strength times the sum of the distances."""
        distance = sum(LOSSES[self.loss_name](*pair) for pair in outputs["aligned"])
        return self.strength * distance, {"distance": distance}

    def get_config(self):
        """Return the networks and settings."""
        return {**super().get_config(), "loss": self.loss_name, "align": self.align}


def _tapped(network, names):
    """Return the network with all of its outputs that are wanted, by name."""
    taps = {x.name: x.output for x in network.layers if x.name in names}
    return keras.Model(network.inputs, {OUTPUT: network.outputs[0], **taps})
