"""Networks that learn from each other's answers on the target, or from their own."""

import keras
from keras import ops

from tl_helpers.adaptation.base import Adapter, check_networks
from tl_helpers.adaptation.losses import divergence
from tl_helpers.inputs import check_kind, check_positive, check_share

BOUND_RATE = 0.02  # the bounds of SelfTraining reach their place in 50 to 100 steps


class ViewAdapter(Adapter):
    """An Adapter of whole classifiers, which see random views of the images.

    Both domains pass a network as one batch unless told otherwise. What these models
    learn from the target is an answer that was given with the moving statistics of
    BatchNormalization, which are those of both domains; trained on statistics of its
    own, the target would drift away from its own answers.

    Attributes:
        views: keras.Layer that changes images, or features, at random when called with
            `training=True`; None for the images themselves.
    """

    def __init__(self, views=None, strength=1.0, joint_batch=True, **kwargs):
        super().__init__(strength, joint_batch, **kwargs)
        if views is not None:
            check_kind(keras.Layer, views=views)
        self.views = views

    def view(self, images, training):
        """Return another random view of a batch; the images where none is defined."""
        if self.views is None or not training:
            return images
        return self.views(images, training=True)

    def answers(self, network, source, target, training):
        """Return a network's logits, 2 x (b, classes), of a view of each domain."""
        views = [self.view(images, training) for images in (source, target)]
        return self.both(network, *views, training)


@keras.saving.register_keras_serializable("tl_helpers")
class MutualLearning(ViewAdapter):
    """Two networks that teach each other on the target (mutual distillation).

    loss = mean class loss of both + strength x mean over the target of
    (KL(p2 || p1) + KL(p1 || p2)) / 2. The one that teaches is held fixed in each term.
    Each network sees a view of its own.

    Args:
        first: built keras.Model from images, or features, to class logits.
        second: another one, with other weights or another architecture.
        views: keras.Layer or None, as in ViewAdapter.
        strength: float >= 0.
        joint_batch: as in Adapter.

    Predicts with the mean of both networks' logits. Logs `class_loss` and
    `disagreement`, the mean divergence before strength, in nats.

    Raises:
        ValueError: networks of different input or number of classes, or the same
            network twice.

    Source: Zhang et al. 2018 (arXiv:1706.00384), there with labels.
    """

    parts = ("first", "second", "views")
    logged = ("disagreement",)

    def __init__(
        self, first, second, views=None, strength=1.0, joint_batch=True, **kwargs
    ):
        super().__init__(views, strength, joint_batch, **kwargs)
        check_networks(first=first, second=second)
        self.first, self.second = first, second
        if {id(one) for one in first.weights} & {id(one) for one in second.weights}:
            raise ValueError(
                "Got two networks that share weights, expected two of their own; build "
                "the second one anew, or take keras.models.clone_model(first)."
            )
        shapes = [(x.input_shape[1:], x.output_shape[1:]) for x in (first, second)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Got networks from {shapes[0][0]} to {shapes[0][1]} and from "
                f"{shapes[1][0]} to {shapes[1][1]}, expected the same; build both for "
                "the same images and classes."
            )
        self.built = True

    def classify(self, images, training=None):
        """Return the mean of both networks' logits (b, classes)."""
        networks = (self.first, self.second)
        return sum(network(images, training=training) for network in networks) / 2

    def forward(self, source, target, training):
        """Return both networks' logits of the source and of the target."""
        networks = (self.first, self.second)
        answers = [self.answers(x, source, target, training) for x in networks]
        of_source, of_target = zip(*answers, strict=True)
        return {"logits": list(of_source), "target_logits": list(of_target)}

    def adaptation_loss(self, outputs):
        """Return strength times the mean divergence of the two."""
        first, second = outputs["target_logits"]
        to_first = divergence(ops.stop_gradient(second), first)  # (b,)
        to_second = divergence(ops.stop_gradient(first), second)
        mean = ops.mean(to_first + to_second) / 2
        return self.strength * mean, {"disagreement": mean}


@keras.saving.register_keras_serializable("tl_helpers")
class MeanTeacher(ViewAdapter):
    """A student, and a teacher that is the running average of the student.

    loss = class loss + strength x mean over the target of ||p_student - p_teacher||^2,
    where only rows count of which the teacher is sure. Both see views of their own;
    the teacher runs without dropout, with averaged BatchNormalization.

    Args:
        student: built keras.Model from images, or features, to class logits.
        views: keras.Layer or None, as in ViewAdapter.
        strength: float >= 0.
        threshold: in [0, 1): least probability of the teacher's answer to count.
        momentum: in [0, 1): share that the teacher keeps of itself at every step.
        joint_batch: as in Adapter.

    Predicts with the teacher. Logs `class_loss`, `consistency`, the mean before
    strength, and `confident`, the share of rows that count.

    Raises:
        ValueError: threshold or momentum outside [0, 1).

    Source: Tarvainen and Valpola 2017 (arXiv:1703.01780); French et al. 2018
        (arXiv:1706.05208) for adaptation and the threshold.
    """

    parts = ("student", "views")
    settings = ("threshold", "momentum")
    logged = ("consistency", "confident")

    def __init__(
        self,
        student,
        views=None,
        strength=1.0,
        threshold=0.9,
        momentum=0.99,
        joint_batch=True,
        **kwargs,
    ):
        super().__init__(views, strength, joint_batch, **kwargs)
        check_networks(student=student)
        check_share(threshold=threshold, momentum=momentum)
        if max(threshold, momentum) == 1:
            raise ValueError(
                f"Got threshold={threshold:g} and momentum={momentum:g}, expected both "
                "below 1; at 1 no answer counts, or the teacher never learns."
            )
        self.student, self.threshold, self.momentum = student, threshold, momentum
        self._averages = [self._average(i) for i in range(len(student.weights))]
        self.built = True

    def classify(self, images, training=None):
        """Return the teacher's logits (b, classes)."""
        pairs = zip(self.student.weights, self._averages, strict=True)
        own = {id(weight): average for weight, average in pairs}
        trainable = [own[id(w)] for w in self.student.trainable_variables]
        others = [own.get(id(w), w) for w in self.student.non_trainable_variables]
        logits, _ = self.student.stateless_call(
            trainable, others, images, training=False
        )
        return logits

    def forward(self, source, target, training):
        """Return the student's logits of both domains, and the teacher's of one."""
        if training:
            self._follow()
        of_source, of_target = self.answers(self.student, source, target, training)
        taught = self.classify(self.view(target, training))
        return {
            "logits": [of_source],
            "target_logits": of_target,
            "taught": ops.stop_gradient(taught),
        }

    def adaptation_loss(self, outputs):
        """Return strength times the mean squared distance from a sure teacher."""
        taught = ops.softmax(ops.cast(outputs["taught"], "float32"))
        answers = ops.softmax(ops.cast(outputs["target_logits"], "float32"))
        sure = ops.cast(ops.max(taught, axis=-1) > self.threshold, "float32")  # (b,)
        consistency = ops.mean(sure * ops.sum((answers - taught) ** 2, axis=-1))
        return self.strength * consistency, {
            "consistency": consistency,
            "confident": ops.mean(sure),
        }

    def _average(self, index):
        weight = self.student.weights[index]
        average = self.add_weight(
            weight.shape,
            "zeros",
            dtype=weight.dtype,
            trainable=False,
            aggregation="only_first_replica",
            name=f"teacher_{index}",
        )
        average.assign(ops.copy(weight))  # JAX may not give one buffer away twice
        return average

    def _follow(self):
        """Move the teacher towards the student, as the step before left it."""
        for average, weight in zip(self._averages, self.student.weights, strict=True):
            kept = self.momentum * average + (1 - self.momentum) * weight
            average.assign(kept)


@keras.saving.register_keras_serializable("tl_helpers")
class SelfTraining(ViewAdapter):
    """A classifier that learns from its own surest answers, the same share per class.

    A target row gets its answer as a label if the answer is among the surest
    `share` of all rows with that answer. A bound on the probability for each class
    keeps track of this while training: it rises a little with every row above and
    falls with every row below, until `share` of them are above. Without such balance
    the easy classes would supply all the labels.

    loss = class loss + strength x mean over the target of the cross-entropy with its
    own answer, where it counts

    Args:
        classifier: built keras.Model from images, or features, to class logits. Train
            it on the source first: its errors become labels.
        views: keras.Layer or None, as in ViewAdapter. The answer comes from the image
            itself, the lesson is taken on a view.
        share: in (0, 1]: 1 admits every answer.
        strength: float >= 0.
        joint_batch: as in Adapter.

    Logs `class_loss`, `pseudo_loss`, the mean before strength, and `admitted`, the
    share of rows that count.

    Raises:
        ValueError: share outside (0, 1].

    Source: Zou et al. 2018 (arXiv:1810.07911), there in rounds over the whole target.
    """

    parts = ("classifier", "views")
    settings = ("share",)
    logged = ("pseudo_loss", "admitted")

    def __init__(
        self,
        classifier,
        views=None,
        share=0.5,
        strength=1.0,
        joint_batch=True,
        **kwargs,
    ):
        super().__init__(views, strength, joint_batch, **kwargs)
        check_networks(classifier=classifier)
        check_share(share=share)
        check_positive(share=share)
        self.classifier, self.share = classifier, share
        self.bounds = self.add_weight(
            (classifier.output_shape[-1],),
            "ones",
            trainable=False,
            aggregation="mean",
            name="bounds",
        )
        self.built = True

    def classify(self, images, training=None):
        """Return class logits (b, classes)."""
        return self.classifier(images, training=training)

    def forward(self, source, target, training):
        """Return the logits of both domains' views, and its labels of the target."""
        answers = self.classifier(target, training=False)
        of_source, of_target = self.answers(self.classifier, source, target, training)
        # (b, classes), each row of sum 1
        sureness = ops.softmax(ops.cast(ops.stop_gradient(answers), "float32"))
        if training:
            self._move_bounds(sureness)
        return {"logits": [of_source], "target_logits": of_target, "sureness": sureness}

    def adaptation_loss(self, outputs):
        """Return strength times the cross-entropy with the admitted answers."""
        sureness = outputs["sureness"]
        answers = ops.argmax(sureness, axis=-1)
        bounds = ops.take(self.bounds, answers)
        admitted = ops.cast(ops.max(sureness, axis=-1) >= bounds, "float32")
        each = ops.sparse_categorical_crossentropy(
            answers, ops.cast(outputs["target_logits"], "float32"), from_logits=True
        )
        pseudo_loss = ops.mean(admitted * each)
        return self.strength * pseudo_loss, {
            "pseudo_loss": pseudo_loss,
            "admitted": ops.mean(admitted),
        }

    def _move_bounds(self, sureness):
        answered = ops.one_hot(ops.argmax(sureness, axis=-1), sureness.shape[-1])
        is_above = ops.cast(sureness >= self.bounds, "float32")
        counts = ops.sum(answered, axis=0)
        above = ops.sum(answered * is_above, axis=0) / ops.maximum(counts, 1.0)
        step = BOUND_RATE * ops.cast(counts > 0, "float32") * (above - self.share)
        self.bounds.assign(ops.clip(self.bounds + step, 0.0, 1.0))
