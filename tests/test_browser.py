"""The first notebook in JupyterLab, in a real browser, as a learner would run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from browser import needs_browser, page_fixture, wait_for  # noqa: F401 (by name)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "00_start_here.ipynb"

STATE = """(() => {
  const shell = window.jupyterapp?.shell;
  const panel = shell && [...shell.widgets("main")][0];
  if (panel) shell.activateById(panel.id);
  const session = panel?.sessionContext?.session;
  return session?.kernel && panel.content?.model
    ? {status: session.kernel.status, cells: panel.content.model.toJSON().cells}
    : null;
})()"""


def lines_with(path, text):
    """Lines of a log that hold a text; none where there is no log yet."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if text in line]


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab that shows the first notebook, without its outputs."""
    notebook = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    (tmp_path / NOTEBOOK).write_text(json.dumps(notebook))
    log = tmp_path / "lab.log"
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.port=0", "--LabApp.expose_app_in_browser=True"]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": str(ROOT),
        "TL_PROFILE": "quick",
    }
    with open(log, "w") as stream:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=stream, stdout=stream
        )
    try:
        found = wait_for(lambda: lines_with(log, "http://127.0.0.1"), 60)
        address, _, token = found[0].strip().split()[-1].partition("/lab?")
        yield f"{address}/lab/tree/{NOTEBOOK}?{token}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
@needs_browser
def test_first_notebook_runs_in_jupyterlab(lab, page):
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)
    page.call("Page.navigate", url=lab)
    state = wait_for(lambda: page.value(STATE), 120)
    code = [cell for cell in state["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in code)
    page.value("jupyterapp.commands.execute('notebook:run-all-cells')")

    def finished():
        state = page.value(STATE)
        done = [c for c in state["cells"] if c.get("execution_count")]
        is_idle = state["status"] == "idle" and len(done) == len(code)
        return is_idle and [output for cell in done for output in cell["outputs"]]

    outputs = wait_for(finished, 240)
    page.photograph("jupyterlab")
    assert not [x["evalue"] for x in outputs if x["output_type"] == "error"]
    assert sum("image/png" in x.get("data", {}) for x in outputs) >= 2
    printed = "".join("".join(x.get("text", "")) for x in outputs)
    assert "✓" in printed
