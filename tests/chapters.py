"""A pytest plugin: every authored chapter runs once, and none loses a claim.

    python -m pytest -p tests.chapters --nbval-lax notebooks/solutions

nbval makes a test of each cell. This plugin starts the longest chapters first, so that
two workers end together; counts the ticked claims that ran, and fails the run where a
chapter has fewer than `recorded.json` beside it says; and prints how long each took.
"""

import os
from pathlib import Path

import pytest

from tl_helpers.tools import record
from tl_helpers.tools.notebooks import count_claims

NOTE = "chapter"  # under this name a cell's report carries its notebook over xdist


def pytest_configure(config):
    """Give the kernels the environment that the records were made in."""
    wanted = record.environment()
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    config.option.loadscopereorder = False  # xdist keeps the order of this plugin
    if not hasattr(config, "workerinput"):  # the reports of all workers come here
        config.pluginmanager.register(Chapters())


def pytest_collection_modifyitems(items):
    """Put the longest chapters first, and before them those never recorded."""
    folders = sorted({str(item.path.parent) for item in items})
    if len(folders) > 1:
        raise pytest.UsageError(
            f"Got notebooks of {' and '.join(folders)}, expected those of one folder, "
            "whose record they are compared with; name one."
        )
    recorded = record.read(folders[0]) if folders else {}
    unknown = record.Run(seconds=float("inf"))
    items.sort(key=lambda item: -recorded.get(item.path.stem, unknown).seconds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let the report of a cell say whose it is, and how many claims it ticked."""
    report = yield
    if hasattr(item, "cell"):
        num_cells = sum(cell.cell_type == "code" for cell in item.parent.nb.cells)
        claims = count_claims(item.test_outputs or []) if call.when == "call" else 0
        note = [str(item.path), item.cell.get("id", item.name), claims, num_cells]
        report.user_properties.append((NOTE, note))
    return report


class Chapters:
    """What the reports of all cells add up to.

    Attributes:
        folder: Path of the notebooks.
        runs: {chapter: record.Run}.
        num_cells: {chapter: number of code cells that its notebook has}.
    """

    def __init__(self):
        self.folder, self.runs, self.num_cells = None, {}, {}

    def pytest_runtest_logreport(self, report):
        """Add one phase of one cell; the first set-up is the start of the kernel."""
        if note := dict(report.user_properties).get(NOTE):
            path, cell, claims, num_cells = note
            self.folder, chapter = Path(path).parent, Path(path).stem
            self.num_cells[chapter] = num_cells
            run = self.runs.setdefault(chapter, record.Run())
            run.add(cell, report.duration, claims)

    def pytest_sessionfinish(self, session):
        """Fail where a chapter ran fewer claims than were written down."""
        if self.lost_claims() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        """Print the table, the slow cells and the lost claims."""
        if not self.runs:
            return
        recorded = record.read(self.folder)
        terminalreporter.section("chapters")
        terminalreporter.write_line(record.table(self.runs, recorded))
        for sentence in record.slow_chapters(self.runs, recorded, self.folder):
            terminalreporter.write_line(sentence, yellow=True)
        for sentence in self.lost_claims():
            terminalreporter.write_line(f"FAILED {sentence}", red=True)

    def lost_claims(self):
        """Sentences about the chapters that ran whole: a part has only its part."""
        whole = {
            chapter: run
            for chapter, run in self.runs.items()
            if len(run.cells) == self.num_cells[chapter]
        }
        return record.lost_claims(whole, record.read(self.folder)) if whole else []
