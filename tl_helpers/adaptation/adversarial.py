"""Adversarial adaptation: features from which no domain can be told."""

import keras
from keras import ops

from tl_helpers.adaptation.base import FeatureAdapter, check_networks, joined
from tl_helpers.adaptation.losses import entropy
from tl_helpers.adaptation.networks import dense_network
from tl_helpers.adaptation.reversal import reverse_gradient
from tl_helpers.inputs import check_flag

NUM_HIDDEN = 100  # the discriminator of Ganin et al.
MAX_MAP = 4096  # features x classes, above which CDAN projects at random
NUM_PROJECTED = 1024


@keras.saving.register_keras_serializable("tl_helpers")
class DANN(FeatureAdapter):
    """Domain-adversarial network: encoder against discriminator.

    loss = class loss + domain loss. The discriminator lowers its cross-entropy on
    "source or target?"; through the reversal the encoder raises it, times strength.

    Args:
        encoder: built keras.Model from images, or features, to (b, d).
        head: built keras.Model from (b, d) to class logits (b, classes).
        discriminator: built keras.Model from (b, d) to one logit (b, 1), positive for
            the source; None for a hidden layer of 100 units with BatchNormalization.
            With a batch for each domain that subtracts each one's own mean: a shift
            of the mean is then hidden from the discriminator, and its accuracy says
            nothing about one. `dense_network(d, (100,), 1)` sees it.
        strength: float >= 0, lambda of the paper; `Ramp` raises it while training.
        joint_batch: send both domains through the encoder as one batch. That matters
            to BatchNormalization only: by default each domain has its own statistics
            while training.

    Logs `class_loss`, `domain_loss` (log 2 = 0.69 where it guesses) and
    `domain_accuracy`.

    Raises:
        ValueError: networks that do not fit each other.

    Source: Ganin et al. 2016 (arXiv:1505.07818).
    """

    parts = ("encoder", "head", "discriminator")
    logged = ("domain_loss", "domain_accuracy")

    def __init__(
        self,
        encoder,
        head,
        discriminator=None,
        strength=1.0,
        joint_batch=False,
        **kwargs,
    ):
        super().__init__(encoder, head, strength, joint_batch, **kwargs)
        width = self._shown_width()
        if discriminator is None:
            discriminator = dense_network(
                width, (NUM_HIDDEN,), 1, batch_norm=True, name="discriminator"
            )
        check_networks(discriminator=discriminator)
        self.discriminator = discriminator
        if self.discriminator.input_shape[1:] != (width,):
            raise ValueError(
                f"Got a discriminator with input {self.discriminator.input_shape[1:]}, "
                f"expected {(width,)}; leave it out for one that fits."
            )
        self.built = True

    def forward(self, source, target, training):
        """Return the source's logits, and what the discriminator says of both."""
        features = self.both(self.encoder, source, target, training)  # 2 x (b, d)
        logits = self.head(features[0], training=training)  # (b, classes)
        return {"logits": [logits], **self._discriminate(features, training)}

    def adaptation_loss(self, outputs):
        """Return the discriminator's mean cross-entropy."""
        domains, is_source = outputs["domains"], outputs["is_source"]
        each = ops.binary_crossentropy(is_source, domains, from_logits=True)
        if "weights" in outputs:
            each = each * outputs["weights"]
        domain_loss = ops.mean(each)
        is_right = ops.equal(domains > 0, is_source > 0)
        accuracy = ops.mean(ops.cast(is_right, "float32"))
        return domain_loss, {"domain_loss": domain_loss, "domain_accuracy": accuracy}

    def _shown_width(self):
        return self.encoder.output_shape[-1]

    def _discriminate(self, shown, training):
        """Show both domains to the discriminator, behind the reversal."""
        shown = [reverse_gradient(rows, self.strength) for rows in shown]
        domains = joined(*self.both(self.discriminator, *shown, training))  # (2b, 1)
        is_source = joined(_column(shown[0], ops.ones), _column(shown[1], ops.zeros))
        return {"domains": ops.cast(domains, "float32"), "is_source": is_source}


@keras.saving.register_keras_serializable("tl_helpers")
class CDAN(DANN):
    """Conditional adversarial network: the discriminator also sees the classes.

    It sees features x class probabilities, d x classes numbers (above 4096 of them,
    1024 random projections), so that it compares the domains class by class. With
    entropy conditioning, rows that the head is sure of count for more: weight
    1 + exp(-entropy), scaled to mean 1 in each domain. No gradient flows through
    probabilities and weights.

    Args:
        encoder: as in DANN; its output must be flat, (b, d).
        head: as in DANN.
        discriminator: as in DANN, for the input above.
        strength: as in DANN.
        joint_batch: as in DANN.
        is_entropy_conditioned: whether sure rows count for more (CDAN+E).

    Source: Long et al. 2018 (arXiv:1705.10667).
    """

    settings = ("is_entropy_conditioned",)

    def __init__(self, encoder, head, *args, is_entropy_conditioned=True, **kwargs):
        super().__init__(encoder, head, *args, **kwargs)
        check_flag(is_entropy_conditioned=is_entropy_conditioned)
        self.is_entropy_conditioned = is_entropy_conditioned
        self._projections = [
            self.add_weight(
                (network.output_shape[-1], NUM_PROJECTED),
                keras.initializers.RandomNormal(stddev=1.0, seed=seed),
                trainable=False,
                name=f"projection_{seed}",
            )
            for seed, network in enumerate((encoder, head))
            if self._map_size() > MAX_MAP
        ]

    def _map_size(self):
        return self.encoder.output_shape[-1] * self.head.output_shape[-1]

    def _shown_width(self):
        return self._map_size() if self._map_size() <= MAX_MAP else NUM_PROJECTED

    def forward(self, source, target, training):
        """Return the source's logits, and what the discriminator says of both."""
        features = self.both(self.encoder, source, target, training)  # 2 x (b, d)
        logits = self.both(self.head, *features, training)  # 2 x (b, classes)
        shown = [self._product(*pair) for pair in zip(features, logits, strict=True)]
        outputs = {"logits": [logits[0]], **self._discriminate(shown, training)}
        if self.is_entropy_conditioned:
            outputs["weights"] = joined(*map(_sureness, logits))  # (2b, 1)
        return outputs

    def _product(self, features, logits):
        """Return features x class probabilities, (b, shown width)."""
        classes = ops.stop_gradient(ops.softmax(ops.cast(logits, features.dtype)))
        if self._projections:
            projected = map(ops.matmul, (features, classes), self._projections)
            first, second = projected  # (b, 1024) each
            return first * second / NUM_PROJECTED**0.5
        outer = features[:, :, None] * classes[:, None, :]  # (b, d, classes)
        return ops.reshape(outer, (-1, self._map_size()))  # (b, d * classes)


def _sureness(logits):
    """Return weights (b, 1) of mean 1, from all alike to about twice for sure rows."""
    weights = 1 + ops.exp(-entropy(ops.stop_gradient(logits)))  # (b,)
    return (weights / ops.mean(weights))[:, None]


def _column(rows, fill):
    """Return a column (b, 1) of as many rows."""
    return fill((ops.shape(rows)[0], 1), "float32")
