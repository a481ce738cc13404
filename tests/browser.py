"""A headless Chromium or Chrome, spoken to in its own protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import websocket

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --window-size=1200,1600"
SCREENSHOTS = Path(__file__).resolve().parent.parent / "build"

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome is installed"
)


class Page:
    """A browser's page."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, suppress_origin=True)
        self.numbers = itertools.count(1)
        self.events = []  # what the browser told without being asked

    def call(self, method, **parameters):
        """Send one command and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            self.events.append(answer)
        return answer.get("result", {})

    def value(self, expression):
        """Evaluate JavaScript; None while one page gives way to the next."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        return result.get("result", {}).get("value")

    def open(self, url):
        """Go to an address and wait until it is there, scripts and pictures too."""
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.value(f"({IS_LOADED})({json.dumps(url)})"), 60)

    def photograph(self, name):
        """Write what is seen into build/, for people to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        picture = self.call("Page.captureScreenshot")["data"]
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture))


IS_LOADED = 'url => location.href === url && document.readyState === "complete"'


def wait_for(condition, seconds):
    """Return the first value of `condition` that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"nothing came in {seconds} s"
        time.sleep(0.5)
    return value


@pytest.fixture(name="page")
def page_fixture(tmp_path):
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
