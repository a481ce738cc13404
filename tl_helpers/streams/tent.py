"""TENT: sharper answers by a step of gamma and beta a batch, and an anchor."""

import keras
from keras import ops

from tl_helpers.adaptation.losses import entropy
from tl_helpers.domains.batch_norm import batch_norms
from tl_helpers.inputs import check_kind, check_share
from tl_helpers.streams.statistics import BatchNorm, OnlineModel
from tl_helpers.training import reset_optimizer

LEARNING_RATE = 1e-3  # of Adam, the paper's for small images


class Tent(OnlineModel):
    """A copy of a model that learns from every batch to be more certain.

    Each batch is normalised by its own statistics and answered; then one step of the
    optimizer lowers the mean entropy of these answers. Only gamma and beta of the
    BatchNormalization layers learn, those that were frozen in fine-tuning too. The
    answers given are those before the step, as in the paper.

    Nothing says that the certain answer is the right one, and one class for all
    images is the most certain of all: long streams, sorted streams and high rates end
    there. An anchor pulls gamma and beta back to the source after every step, by that
    share of the way. With Adam, whose steps are about the learning rate, none then
    goes much further than learning rate / anchor.

    Args:
        model: functional or Sequential keras.Model from images to class logits with
            BatchNormalization; it stays as it is.
        optimizer: keras.optimizers.Optimizer, of which a fresh copy is taken; None
            for Adam at 0.001.
        anchor: share in [0, 1] of the way back to the source after every step: 0 for
            the paper's TENT, 1 for `BatchStatistics`, as if nothing had been learnt.

    Raises:
        ValueError: no such model, nothing in it that could learn, no optimizer, or no
            share.

    Source: Wang et al. 2021 (arXiv:2006.10726); what goes wrong: Zhao et al. 2023
        (arXiv:2306.03536); an anchor: Wang et al. 2022 (arXiv:2203.13591), who put
        single weights back at random.
    """

    def __init__(self, model, optimizer=None, anchor=0.0):
        check_share(anchor=anchor)
        if optimizer is None:
            optimizer = keras.optimizers.Adam(LEARNING_RATE)
        check_kind(keras.optimizers.Optimizer, optimizer=optimizer)
        super().__init__(model, BatchNorm)
        _let_only_norms_learn(self.network)
        self._learner = _Certain(self.network)
        _check_learns(self._learner)
        if anchor:
            for weight in self._learner.trainable_variables:
                weight.constraint = _Anchor(weight, anchor)
        fresh = type(optimizer).from_config(optimizer.get_config())
        self._learner.compile(fresh, jit_compile=False)
        reset_optimizer(self._learner)  # which builds it
        self._remember()

    def predict(self, images):
        """Answer a batch, then take one step; as `OnlineModel.predict`."""
        batch = self._checked(images)
        logs = self._learner.train_on_batch(batch, return_dict=True)
        return ops.convert_to_numpy(logs["logits"])

    def _changing(self):
        return [*self.network.variables, *self._learner.optimizer.variables]


class _Certain(keras.Model):
    """A network whose loss is the mean entropy of its answers, without labels."""

    def __init__(self, network):
        super().__init__(name="certain")
        self.network = network
        self.built = True

    def call(self, images, training=None):
        # dropout stays off; the norms take the batch's statistics in any case
        return self.network(images, training=False)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return ops.mean(entropy(y_pred))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Hand out the logits of the pass that the gradient was taken of."""
        return {"logits": y_pred}


class _Anchor(keras.constraints.Constraint):
    """Goes a share of the way back to where a weight is now; after every step."""

    def __init__(self, weight, share):
        self.start = ops.convert_to_numpy(weight)
        self.share = share

    def __call__(self, weight):
        # both terms, so that a share of 1 gives the start to the last bit
        return (1 - self.share) * weight + self.share * self.start


def _let_only_norms_learn(network):
    """Freeze all but gamma and beta; a frozen model around them would hide them."""
    norms = {id(norm) for norm in batch_norms(network)}

    def set_trainable(model):
        model.trainable = True
        for layer in model.layers:
            if isinstance(layer, keras.Model):
                set_trainable(layer)
            else:
                layer.trainable = id(layer) in norms

    set_trainable(network)


def _check_learns(learner):
    if not learner.trainable_variables:
        raise ValueError(
            f"Got model {learner.network.name!r} whose BatchNormalization has neither "
            "gamma nor beta, expected one of them to learn; take BatchStatistics."
        )
