"""What Makefile, .ci/run and the public workflows call has to exist."""

import os
import re
import subprocess

import pytest
import yaml  # jupytext brings it
from books import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
CI_RUN = (ROOT / ".ci/run").read_text()


def load(name):
    content = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return content | {"on": content[True]}  # YAML 1.1 takes a plain "on" for true


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def what_make_runs(target, *settings):
    """The commands of a target, without running them."""
    command = ["make", "-n", target, *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def commands():
    """Every line that .ci/run and the workflows run."""
    lines = [line.strip() for line in CI_RUN.splitlines()]
    for path in WORKFLOWS:
        for step in steps_of(load(path.stem)):
            lines += step.get("run", "").splitlines()
    return lines


def test_every_make_target_that_is_called_exists(commands):
    called = [re.search(r"(?:^|/without_network )make (\w+)", c) for c in commands]
    names = {match[1] for match in called if match}
    assert names == {"test", "lint", "site", "course"}
    assert names <= set(TARGETS)


def test_every_file_that_is_called_exists(commands):
    text = "\n".join(commands)
    found = set(re.findall(r"(?<![\w./])(\.ci/\w+(?:\.py)?)", text))
    assert {".ci/run", ".ci/set_up.py", ".ci/without_network"} <= found
    assert all((ROOT / path).exists() for path in found)
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert os.access(ROOT / ".ci/without_network", os.X_OK)


def test_ci_run_names_no_path_of_a_machine():
    assert re.findall(r"(?<![\w.$*])/(?!usr/bin/env)\w+", CI_RUN) == []
    assert "unpack=../shared/data/unpack\n" in CI_RUN


def test_every_change_passes_ci_run():
    workflow = load("ci")
    assert workflow["on"].keys() >= {"push", "pull_request", "schedule"}
    change = workflow["jobs"]["change"]
    assert change["if"] == "github.event_name != 'schedule'"
    assert ".ci/run" in [step.get("run") for step in change["steps"]]


def test_the_weekly_run_takes_newest_versions_and_colabs():
    weekly = load("ci")["jobs"]["weekly"]
    versions = weekly["strategy"]["matrix"]["include"]
    constraints = {one["versions"]: one["constraints"] for one in versions}
    assert constraints == {"newest": "/dev/null", "colab": "constraints-colab.txt"}
    assert (ROOT / constraints["colab"]).exists()
    assert weekly["env"] == {
        "VENV": "build/venv-${{ matrix.versions }}",
        "CONSTRAINTS": "${{ matrix.constraints }}",
    }
    run = [step.get("run") for step in weekly["steps"]]
    assert "make test" in run and "make course" in run


def test_the_site_that_is_published_is_the_one_that_is_built():
    (upload,) = [
        step
        for step in steps_of(load("site"))
        if "upload-pages-artifact" in step.get("uses", "")
    ]
    assert upload["with"]["path"] == "build/site"
    assert "build/site" in (ROOT / "docs/make_site.py").read_text()
    assert load("site")["permissions"]["pages"] == "write"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_actions_are_official_and_pinned_by_major_version(path):
    used = [step["uses"] for step in steps_of(load(path.stem)) if "uses" in step]
    assert used
    assert [
        name for name in used if not re.fullmatch(r"actions/[\w-]+@v\d+", name)
    ] == []


def test_make_test_runs_units_and_every_chapter_once():
    lines = what_make_runs("test", "NOTEBOOKS_UNDER=.ci/without_network")
    units, chapters = [line for line in lines if "-m pytest" in line]
    assert "notebooks" not in units
    assert chapters.startswith(".ci/without_network .venv/bin/python -m pytest -n 2")
    assert chapters.endswith(" notebooks/solutions")
    assert {"tests.chapters", "--nbval-lax", "loadfile"} <= set(chapters.split())


def test_make_works_in_another_environment():
    settings = ["VENV=build/venv-colab", "CONSTRAINTS=constraints-colab.txt"]
    text = "\n".join(what_make_runs("test", *settings))
    assert "python3 .ci/set_up.py build/venv-colab constraints-colab.txt" in text
    assert "build/venv-colab/bin/python -m pytest" in text
    assert ".venv/bin" not in text


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^make (\S+) +\S", done.stdout, re.MULTILINE)
    assert {*listed, "set-up"} == set(TARGETS)


def test_ci_run_installs_jax_and_runs_what_is_written_for_it():
    (install,) = [x for x in CI_RUN.splitlines() if "[jax]" in x]
    assert "-c constraints.txt" in install
    (_, run) = CI_RUN.split("KERAS_BACKEND=jax ")
    command = run.partition("\n\n")[0]
    assert "-m pytest" in command and '-m "slow or not slow"' in command
    (names,) = re.findall(r"tests/test_{(.*)}.py", command)
    assert "jax" in names.split(",")
    assert all((ROOT / f"tests/test_{name}.py").exists() for name in names.split(","))


def test_ci_run_repeats_what_stands_on_keras_under_colabs_pair():
    (_, rest) = CI_RUN.split("venv-colab/bin")
    command = rest.partition("step")[0]
    assert " -k " not in command and " -m not" not in command
    names = ",".join(re.findall(r"tests/test_{(.*)}.py", command)).split(",")
    assert {"saving", "saving_alone", "classifier", "hub", "training"} <= {*names}
    assert all((ROOT / f"tests/test_{name}.py").exists() for name in names)


def test_ci_run_leaves_out_only_what_the_weekly_run_has():
    weekly = (ROOT / ".github/workflows/ci.yml").read_text().partition("weekly:")[2]
    assert "run: make test" in weekly and "pytest -m slow" in weekly
    assert " -k " not in weekly
    tests = " ".join(
        path.stem + path.read_text() for path in ROOT.glob("tests/test_*.py")
    )
    (picked,) = re.findall(r'-m slow -k "([^"]+)"', CI_RUN)
    for word in picked.split(" or "):
        assert re.search(rf"mark.slow[^#]*def test_\w*{word}", tests), word


def test_make_test_gives_each_worker_its_half_of_the_cores():
    settings = ["PYTHON=true", "HERE=printenv TF_NUM_INTRAOP_THREADS #"]
    command = ["make", "--silent", "test", *settings, "NOTEBOOKS_UNDER="]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == 2 * [str(os.cpu_count() // 2)]
    assert re.search(r"^export TF_NUM_INTRAOP_THREADS=", CI_RUN, re.MULTILINE)
