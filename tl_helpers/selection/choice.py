"""What a sweep found, and what each validator would have chosen."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Choice(NamedTuple):
    """What a validator would have chosen.

    Attributes:
        validator: str, "oracle" for the choice by target test labels.
        setting: the chosen one.
        accuracy: its target test accuracy in [0, 1]; None without test labels.
        regret: how much better the oracle's is, in [0, 1]; None without test labels.
    """

    validator: str
    setting: object
    accuracy: float | None
    regret: float | None

    def __str__(self):
        """Return for example 'dev: 0.1, 81.3%, 2.0 points below the oracle'."""
        line = f"{self.validator}: {self.setting}"
        if self.accuracy is None:
            return line
        regret = f"{100 * self.regret:.1f} points below the oracle"
        return f"{line}, {100 * self.accuracy:.1f}%, {regret}"


@dataclass(frozen=True)
class Selection:
    """What a sweep found.

    Attributes:
        scores: {validator: {setting: float}}, larger is better; -inf for a model
            whose answers are not finite.
        chosen: {validator: setting}, the best by each validator.
        accuracy: {setting: target test accuracy in [0, 1]}, for the report only;
            empty without test labels.
        models: {setting: model}; without those that were read from a folder.
    """

    scores: dict
    chosen: dict
    accuracy: dict
    models: dict = field(repr=False)

    def report(self):
        """Set each validator's choice beside the oracle's.

        Returns:
            list of Choice, one for each validator; last the oracle, which looks at
            the target's test labels, where there are any.
        """
        if not self.accuracy:
            return [Choice(*pair, None, None) for pair in self.chosen.items()]
        best = max(self.accuracy, key=self.accuracy.get)
        report = []
        for name, setting in {**self.chosen, "oracle": best}.items():
            accuracy = self.accuracy[setting]
            regret = self.accuracy[best] - accuracy
            report.append(Choice(name, setting, accuracy, regret))
        return report
