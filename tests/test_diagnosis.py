"""Every known failure is said, and success is not called one."""

import numpy as np
import pytest

from tl_helpers.domains.diagnosis import diagnose


def answers(counts):
    """Logits whose largest entry is class i in counts[i] rows."""
    return np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]


def test_diagnose_says_nothing_where_all_is_well():
    history = {"loss": [2.0, 1.0], "domain_accuracy": [0.8, 0.52]}
    assert diagnose(history, answers([30, 30, 40]), 0.8, 0.7) == []
    assert diagnose() == []


def test_diagnose_reports_a_discriminator_that_never_learnt():
    history = {"domain_accuracy": [0.5, 0.51, 0.49], "domain_loss": [0.69] * 3}
    (sentence,) = diagnose(history)
    assert "nothing to reverse" in sentence


@pytest.mark.parametrize("first", [0.53, 0.9, 0.4])
def test_diagnose_praises_a_discriminator_that_ends_at_chance(first):
    assert diagnose({"domain_accuracy": [first, 0.5, 0.5]}) == []


def test_diagnose_names_the_first_broken_loss():
    history = {"loss": [1.0, 2.0, np.nan], "domain_loss": [1.0, np.inf, np.nan]}
    (sentence,) = diagnose(history)
    assert "domain_loss is not finite from epoch 2 on" in sentence


def test_diagnose_reports_one_class_for_all():
    (sentence,) = diagnose(target_logits=answers([4, 91, 5]))
    assert "class 1 gets 91%" in sentence
    assert diagnose(target_logits=answers([10, 90])) == []


def test_diagnose_counts_effective_classes():
    """Four equal classes of ten are 4.0 in effect; five are half, and pass."""
    (sentence,) = diagnose(target_logits=answers([25] * 4 + [0] * 6))
    assert "4.0 of 10 classes" in sentence
    assert "[4, 5, 6, 7, 8, 9]" in sentence
    assert diagnose(target_logits=answers([20] * 5 + [1] * 5)) == []


def test_diagnose_reports_broken_logits():
    (sentence,) = diagnose(target_logits=np.full((4, 3), np.nan))
    assert "not finite" in sentence


def test_diagnose_reports_negative_transfer():
    (sentence,) = diagnose(accuracy=0.5, source_only_accuracy=0.52)
    assert "50.0% on the target, 52.0% without it" in sentence
    assert diagnose(accuracy=0.52, source_only_accuracy=0.52) == []


def test_diagnose_reports_every_fault():
    history = {"loss": [np.nan], "domain_accuracy": [0.5]}
    assert len(diagnose(history, answers([100, 0]), 0.1, 0.2)) == 4


@pytest.mark.parametrize(
    ("accuracy", "source_only_accuracy", "sentence"),
    [
        (0.5, None, "expected both or neither"),
        (None, 0.5, "expected both or neither"),
        (52.0, 0.5, "Got accuracy=52.0, expected a share"),
        (0.5, -0.1, "Got source_only_accuracy=-0.1, expected a share"),
    ],
)
def test_diagnose_refuses_accuracies(accuracy, source_only_accuracy, sentence):
    with pytest.raises(ValueError, match=sentence):
        diagnose(accuracy=accuracy, source_only_accuracy=source_only_accuracy)


@pytest.mark.parametrize("logits", [np.zeros(4), np.zeros((0, 3))])
def test_diagnose_refuses_logits_of_another_shape(logits):
    with pytest.raises(ValueError, match="expected numbers .n, num_classes"):
        diagnose(target_logits=logits)
