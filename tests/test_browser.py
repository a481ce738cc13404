"""The first notebook in JupyterLab, in a real browser, as a learner would run it."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import websocket

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOT = ROOT / "build" / "jupyterlab.png"
NOTEBOOK = "00_start_here.ipynb"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --window-size=1200,1600"

STATE = """(() => {
  const shell = window.jupyterapp?.shell;
  const panel = shell && [...shell.widgets("main")][0];
  if (panel) shell.activateById(panel.id);
  const session = panel?.sessionContext?.session;
  return session?.kernel && panel.content?.model
    ? {status: session.kernel.status, cells: panel.content.model.toJSON().cells}
    : null;
})()"""


class Page:
    """A browser's page, spoken to in its own protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, suppress_origin=True)
        self.numbers = itertools.count(1)

    def call(self, method, **parameters):
        """Send one command and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass  # events that nobody asked for
        return answer["result"]

    def value(self, expression):
        """Evaluate JavaScript."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        return result["result"].get("value")


def wait_for(condition, seconds):
    """Return the first value of `condition` that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"nothing came in {seconds} s"
        time.sleep(0.5)
    return value


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


@pytest.fixture
def page(tmp_path):
    """An empty page of a browser without a window."""
    profile = tmp_path / "browser"
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    browser = subprocess.Popen(
        [*command, "--remote-debugging-port=0", "about:blank"], **quiet
    )
    try:
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.read_text(), 60)
        port = port_file.read_text().split()[0]
        targets = json.load(urlopen(f"http://127.0.0.1:{port}/json/list"))
        own = next(x for x in targets if x["type"] == "page")
        yield Page(own["webSocketDebuggerUrl"])
    finally:
        browser.terminate()
        browser.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
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
    SCREENSHOT.parent.mkdir(exist_ok=True)
    picture = page.call("Page.captureScreenshot")["data"]
    SCREENSHOT.write_bytes(base64.b64decode(picture))
    assert not [x["evalue"] for x in outputs if x["output_type"] == "error"]
    assert sum("image/png" in x.get("data", {}) for x in outputs) >= 2
    printed = "".join("".join(x.get("text", "")) for x in outputs)
    assert "✓" in printed
