"""Which tests run where, and a world without the user's caches and without network."""

import os
import socket

import pytest
from hypothesis import settings

from tl_helpers import profiles

# the machines are noisy: no test fails because an example took its time
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SETTINGS = """
    TL_PROFILE TL_DATASET TL_BACKBONE TL_OFFLINE TL_STRICT TL_DETERMINISTIC
""".split()
OPT_IN = {"slow": "takes a minute or more", "network": "downloads"}


def pytest_collection_modifyitems(config, items):
    """Skip what this machine lacks or nobody asked for, and say why."""
    wanted = config.getoption("-m")
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        for name in markers & OPT_IN.keys():
            if name not in wanted:
                reason = f"{OPT_IN[name]}; run with -m {name}"
                item.add_marker(pytest.mark.skip(reason=reason))
        if "realdata" in markers and profiles.mirror_dir() is None:
            reason = "TL_DATA_DIR is unset: no real data sets here"
            item.add_marker(pytest.mark.skip(reason=reason))
        if "gpu" in markers and not profiles.has_gpu():
            item.add_marker(pytest.mark.skip(reason="no GPU here"))


@pytest.fixture(autouse=True)
def _own_world(request, monkeypatch, tmp_path):
    """Let no test see the user's settings, nor fill the user's cache."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    if not request.node.get_closest_marker("realdata"):
        monkeypatch.delenv("TL_DATA_DIR", raising=False)
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "tl-cache"))


@pytest.fixture(autouse=True)
def _no_network(request, monkeypatch):
    """Refuse every connection but those to this machine."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def connect_here(self, address):
        is_local = self.family == socket.AF_UNIX or (
            str(address[0]) in ("127.0.0.1", "::1", "localhost")
        )
        if not is_local:
            raise OSError(f"A unit test tried to reach {address}; mark it network.")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture
def close_figures():
    """Draw what a test left open, which must not fail, and close it."""
    yield
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():  # some faults show only when the ink flows
        plt.figure(number).canvas.draw()
    plt.close("all")


def pytest_configure():
    """Keep TensorFlow's start-up notes out of the log."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
