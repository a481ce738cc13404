import sys

import numpy as np
import pytest
from tiny import tiny_backbone, tiny_images

from tl_helpers import domains
from tl_helpers.datasets import split
from tl_helpers.features import Features, standardise


def rows(num_rows, shift, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(shift, 1 + shift, (num_rows, 3)).astype(np.float32)
    return Features(values, np.arange(num_rows) % 2, ("ant", "bee"))


SOURCE, TARGET = rows(40, 0), rows(20, 5, seed=1)


def test_draw_shares():
    d = domains.draw(SOURCE, TARGET, seed=3)
    assert d.seed == 3
    sizes = [len(part) for part in d[1:]]
    assert sizes == [30, 10, 10, 10, 10]
    assert np.bincount(d.source.labels).tolist() == [15, 15]  # stratified
    assert isinstance(d.target, np.ndarray)  # no label to read


def test_draw_standardises_by_what_is_visible():
    d = domains.draw(SOURCE, TARGET)
    for visible in (d.source.values, d.target):
        assert np.allclose(visible.mean(axis=0), 0, atol=1e-5)
        assert np.allclose(visible.std(axis=0), 1, atol=1e-5)
    for judged in (d.validation.values, d.test.values):
        assert np.abs(judged.mean(axis=0)).max() > 0.02  # its own would be 0


def test_draw_rows_that_judge_have_no_say():
    _, test = split(Features(np.arange(20), TARGET.labels), 0.5, 0.5, stratify=False)
    changed = TARGET.values.copy()
    changed[test.values] += 100
    first = domains.draw(SOURCE, TARGET)
    second = domains.draw(SOURCE, Features(changed, TARGET.labels, TARGET.class_names))
    assert np.array_equal(first.target, second.target)
    assert (second.test.values > first.test.values + 1).all()


def test_draw_without_adaptation_uses_the_sources_unit():
    d = domains.draw(SOURCE, TARGET, by_domain=False)
    assert d.target.mean() > 2 and d.test.values.mean() > 2
    own = domains.draw(SOURCE, TARGET)
    assert np.array_equal(d.test.labels, own.test.labels)
    assert np.allclose(standardise(d.target), own.target, atol=1e-5)


def test_draw_is_blind_to_the_targets_labels():
    other = Features(TARGET.values, TARGET.labels[::-1], TARGET.class_names)
    first, second = domains.draw(SOURCE, TARGET), domains.draw(SOURCE, other)
    assert np.array_equal(first.target, second.target)
    assert np.array_equal(first.test.values, second.test.values)


def test_draw_oracle_has_the_labels_of_the_target():
    labels = np.arange(20) // 10
    d = domains.draw(SOURCE, Features(np.ones((20, 3)) * labels[:, None], labels))
    assert np.array_equal(d.oracle.values, d.target)
    assert np.array_equal(d.oracle.labels, d.target[:, 0] > 0)


def test_draw_seeds_differ():
    first, second = (domains.draw(SOURCE, TARGET, seed) for seed in (0, 1))
    assert not np.array_equal(first.target, second.target)


def test_draw_says_what_does_not_fit():
    narrow = Features(TARGET.values[:, :1], TARGET.labels)
    with pytest.raises(ValueError, match="as many; take both from the same layer"):
        domains.draw(SOURCE, narrow)


def test_choose_block_takes_the_best_at_home(monkeypatch):
    accuracy = {"block1": 0.7, "block2": 0.9}
    module = sys.modules["tl_helpers.domains.draw"]
    monkeypatch.setattr(module, "extract", lambda backbone, images, block: block)
    monkeypatch.setattr(module, "split", lambda rows, *shares, seed: (rows,))
    monkeypatch.setattr(module, "probe_accuracy", accuracy.get)
    assert domains.choose_block(tiny_backbone(), tiny_images(), (0, 1)) == "block2"


def test_choose_block_without_seed():
    with pytest.raises(ValueError, match="seeds"):
        domains.choose_block(tiny_backbone(), tiny_images(), ())
