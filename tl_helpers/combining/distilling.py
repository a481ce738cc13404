"""Distillation: one student learns what a teacher, such as an ensemble, answers."""

import keras
from keras import ops

from tl_helpers.combining.mixing import check_models, copy_of
from tl_helpers.inputs import check_positive, check_share
from tl_helpers.training import share_of_a_replica


@keras.saving.register_keras_serializable("tl_helpers")
class SoftDivergence(keras.distillation.DistillationLoss):
    """Kullback-Leibler divergence of softened answers, from logits.

    loss = T^2 * mean over the batch of sum p * (log p - log q),
    p = softmax(teacher / T), q = softmax(student / T)

    Keras's `LogitsDistillation` compares raw logits as if they were probabilities:
    in 3.15.1 by default, in other versions where it is given a loss object. And it
    clips probabilities at 1e-7, so a student that is wrong and sure has no gradient.

    Args:
        temperature: T > 0.

    Source: Hinton, Vinyals & Dean 2015 (arXiv:1503.02531).
    """

    def __init__(self, temperature=3.0):
        check_positive(temperature=temperature)
        self.temperature = float(temperature)

    def compute_loss(self, teacher_outputs, student_outputs, **settings):
        """Return the loss () of logits (batch, classes)."""
        teacher, student = (
            ops.log_softmax(ops.cast(x, "float32") / self.temperature, axis=-1)
            for x in (teacher_outputs, student_outputs)
        )
        apart = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return share_of_a_replica() * self.temperature**2 * ops.mean(apart)

    def get_config(self):
        """Return the arguments that rebuild this loss."""
        return {"temperature": self.temperature}

    @classmethod
    def from_config(cls, config):
        """Rebuild the loss."""
        return cls(**config)


@keras.saving.register_keras_serializable("tl_helpers")
class Distiller(keras.distillation.Distiller):
    """Keras's distiller, which leaves nothing out in silence; `distiller` builds it."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return Keras's loss, and while training what the student's layers add."""
        if sample_weight is not None:
            raise ValueError(
                "Got weights of samples or classes, expected none, which Keras's "
                "Distiller would ignore; draw the rows of rare classes more often."
            )
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            loss = loss + share_of_a_replica() * sum(self.student.losses)
        return loss


def distiller(student, teacher, temperature=3.0, label_share=0.5):
    """Prepare one model to learn from labels and from another model's answers.

    loss = label_share * loss of the labels + (1 - label_share) * `SoftDivergence`

    Compile it with a loss on logits, `SparseCategoricalCrossentropy(from_logits=True)`,
    and fit it as any model: what learns is `student` itself, which you then use, save
    and compile for itself. Of the logged losses `loss` is exact; `student_loss`,
    `distillation_loss` and `total_loss` count a smaller last batch as a full one.

    Args:
        student: built keras.Model from images to logits; `fit` changes it.
        teacher: built keras.Model from the same images to logits of the same classes,
            such as an `ensemble`; it stays as it is, since a copy of it teaches.
        temperature: > 0; the higher, the more the answers for wrong classes count.
        label_share: share of the labels' loss, in [0, 1].

    Returns:
        keras.distillation.Distiller, not compiled.

    Raises:
        ValueError: no models, a student that is the teacher, other images or classes,
            or numbers out of range.

    Source: Hinton, Vinyals & Dean 2015 (arXiv:1503.02531).
    """
    check_models([student, teacher])
    check_share(label_share=label_share)
    divergence = SoftDivergence(temperature)
    if student is teacher:
        raise ValueError(
            "Got one model as student and teacher, expected two; copy it with "
            "interpolate(model, model, 0), or build it again."
        )
    shapes = [(m.input_shape[1:], m.output_shape[1:]) for m in (student, teacher)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Got a student from {shapes[0][0]} to {shapes[0][1]} and a teacher from "
            f"{shapes[1][0]} to {shapes[1][1]}, expected the same; build both for the "
            "same images and classes."
        )
    return Distiller(
        copy_of(teacher), student, divergence, student_loss_weight=float(label_share)
    )
