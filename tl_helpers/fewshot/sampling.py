"""Episodes: which classes and rows a small classification task is made of.

Letters in shapes: E episodes of N ways (classes), each with K shots (labelled, the
support) and Q queries.
"""

from typing import NamedTuple

import numpy as np

from tl_helpers.inputs import check_labels, check_whole


class Episodes(NamedTuple):
    """Small classification tasks, as rows of one data set.

    Attributes:
        classes: int64 (E, N), labels; an episode calls them 0 to N-1 in this order.
        support: int64 (E, N, K), rows that are labelled.
        query: int64 (E, N, Q), other rows of the same classes.
    """

    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray

    def with_shots(self, num_shots):
        """Return the same episodes and queries with the first shots alone.

        So a curve over the number of shots compares like with like.
        """
        check_whole(1, num_shots=num_shots)
        if not 1 <= num_shots <= self.support.shape[2]:
            raise ValueError(
                f"Got num_shots={num_shots}, expected 1 to {self.support.shape[2]}, "
                "which is what was drawn; draw episodes of more shots."
            )
        return self._replace(support=self.support[:, :, :num_shots])


def split_classes(labels, num_held_out, seed=0):
    """Deal the classes out to training and test, so that no class is on both sides.

    Args:
        labels: int (n,).
        num_held_out: int, from 1 to the number of classes minus 1.
        seed: int.

    Returns:
        (training classes, held-out classes), int arrays in rising order.

    Raises:
        ValueError: one side would be empty, or labels that are not one class number
            for each row.
    """
    check_whole(num_held_out=num_held_out, seed=seed)
    classes = np.unique(check_labels("", None, labels))
    if not 1 <= num_held_out < len(classes):
        raise ValueError(
            f"Got num_held_out={num_held_out}, expected 1 to {len(classes) - 1} of "
            f"{len(classes)} classes; leave some on both sides."
        )
    order = np.random.default_rng(seed).permutation(classes)
    return np.sort(order[num_held_out:]), np.sort(order[:num_held_out])


def episodes(
    labels, num_ways, num_shots, num_queries, num_episodes=600, seed=0, classes=None
):
    """Draw episodes; within one, no class and no row is drawn twice.

    Args:
        labels: int (n,).
        num_ways: N >= 2.
        num_shots: K >= 1.
        num_queries: Q >= 1.
        num_episodes: E >= 1.
        seed: int.
        classes: labels to draw from; None for all.

    Returns:
        Episodes.

    Raises:
        ValueError: a number below its least, labels that are not one class number for
            each row, fewer classes than ways, or a class with fewer than K + Q rows.
    """
    check_whole(2, num_ways=num_ways)
    check_whole(1, num_shots=num_shots, num_queries=num_queries)
    check_whole(1, num_episodes=num_episodes)
    check_whole(seed=seed)
    labels = check_labels("", None, labels)
    drawn_from = labels if classes is None else check_labels("wanted", None, classes)
    classes = np.unique(drawn_from)
    rows = [np.flatnonzero(labels == label) for label in classes]
    sizes = np.array([len(members) for members in rows], int)
    _check_supply(classes, sizes, num_ways, num_shots + num_queries)
    rng = np.random.default_rng(seed)
    chosen = _draw(np.full(num_episodes, len(classes)), num_ways, rng)
    drawn = _draw(sizes[chosen], num_shots + num_queries, rng)
    starts = np.cumsum(sizes) - sizes
    drawn = np.concatenate(rows)[starts[chosen][..., None] + drawn]
    return Episodes(classes[chosen], drawn[..., :num_shots], drawn[..., num_shots:])


def _check_supply(classes, sizes, num_ways, num_rows):
    """Refuse fewer classes or rows than an episode takes."""
    if num_ways > len(classes):
        raise ValueError(
            f"Got num_ways={num_ways} with {len(classes)} classes, expected no more "
            "ways than classes; ask for fewer ways."
        )
    if sizes.min() < num_rows:
        raise ValueError(
            f"Got class {classes[sizes.argmin()]} with {sizes.min()} rows, expected "
            f"{num_rows}, shots and queries together; ask for fewer or leave the class "
            "out."
        )


def _draw(sizes, num_drawn, rng):
    """Draw from range(size) without replacement: (...) -> int64 (..., num_drawn).

    Source: Floyd's algorithm (Bentley & Floyd 1987, doi:10.1145/30401.315746); its
    order is not random, hence the permutation.
    """
    drawn = np.empty((*sizes.shape, num_drawn), np.int64)
    for i in range(num_drawn):
        last = sizes - num_drawn + i
        guess = rng.integers(last + 1)
        is_taken = (drawn[..., :i] == guess[..., None]).any(-1)
        drawn[..., i] = np.where(is_taken, last, guess)
    return rng.permuted(drawn, axis=-1)
