import base64
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from browser import wait_for
from pictures_of_own import bytes_of, dark_and_bright, drawn, write
from pictures_of_own import tiny_network as tiny_network  # a fixture
from tiny import tiny_images

from tl_helpers import __main__, saving
from tl_helpers.datasets.decoding import decode_image
from tl_helpers.finetuning import classifier
from tl_helpers.fitting import fit_folder, picture_classifier, write_report
from tl_helpers.fitting.steps import Steps


def fit(folder, out, **settings):
    fitted = fit_folder(folder / "own", out=out, **settings)
    return fitted, write_report(fitted, out / "report.html").read_text()


DARK = "dark & <script>"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with bright and dark pictures, beside one from a darker place."""
    folder = tmp_path_factory.mktemp("world")
    dark_and_bright(folder / "own", 10, names=("bright", DARK))
    write(folder / "own/bright/<b>&.png", drawn(0, 150))
    (folder / "own" / DARK / "broken.png").write_bytes(b"\x89PNG")
    for i in range(24):
        write(folder / "away" / f"{i}.png", drawn(500 + i, 80) // np.uint8(4))
    return folder


def test_a_fit_writes_a_report_and_a_model(own, tmp_path, tiny_network, capsys):
    before = bytes_of(own)
    command = ["fit", str(own / "own"), "--out", str(tmp_path), "--minutes", "0"]
    command += ["--unlabelled", str(own / "away"), "--backbone", "tiny"]
    assert __main__.main(command) == 0
    assert bytes_of(own) == before
    out, bar = capsys.readouterr()
    assert "Of 4 test images" in out and "7/7" in bar
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page and "<script" not in page
    assert "dark &amp; &lt;script&gt;/broken.png: " in page
    assert "bright/&lt;b&gt;&amp;.png" in page
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert all(base64.b64decode(x).startswith(b"\xff\xd8\xff") for x in pictures)
    assert len(re.findall("<img", page)) == len(pictures) >= 2
    assert saving.load_model(tmp_path / "model.keras").class_names[1] == DARK
    compare_with_a_second_run(own, tmp_path / "again", page)


def compare_with_a_second_run(own, out, page):
    settings = {"minutes": 0, "backbone_names": ["tiny"]}
    fitted, again = fit(own, out, unlabelled=own / "away", **settings)
    assert again == page
    learnt = {str(path) for path in fitted.train.images.paths}
    assert not learnt & set(map(str, fitted.test.images.paths))


@pytest.mark.slow  # a dozen trainings
def test_two_runs_with_fine_tuning_give_the_same_report(own, tmp_path, tiny_network):
    runs = [fit(own, tmp_path / name, minutes=1) for name in "ab"]
    assert runs[0][1] == runs[1][1]
    assert runs[0][0].facts["plan"]["num_folds"] == 3
    models = [saving.load_model(fitted.model_path) for fitted, _ in runs]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("at, minutes", [("_tuned", 1), ("_test", 0)])
def test_a_stopped_run_goes_on_and_repeats_nothing(
    own, tmp_path, tiny_network, monkeypatch, at, minutes
):
    done, step, whole, calls = [], Steps._step, getattr(Steps, at), []

    def stop_at_the_second(*given):
        calls.append(given)
        if at == "_test" or len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*given)

    def count(self, key, compute, text):
        def counted():
            result = compute()
            done.append(key)
            return result

        return step(self, key, counted, text)

    monkeypatch.setattr(Steps, "_step", count)
    monkeypatch.setattr(Steps, at, stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit(own, tmp_path, minutes=minutes)
    assert done and not (tmp_path / "report.html").exists()
    monkeypatch.setattr(Steps, at, whole)
    fit(own, tmp_path, minutes=minutes)
    assert done[-1] == "test" and len(done) == len(set(done))


@pytest.mark.slow  # three processes
def test_a_killed_run_goes_on_to_the_same_report(own, tmp_path):
    def start(out):
        command = [sys.executable, "-m", "tl_helpers", "fit", str(own / "own")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            [*command, "--out", str(out), "--minutes", "1"], **quiet
        )

    assert start(tmp_path / "whole").wait() == 0
    running = start(tmp_path / "killed")
    wait_for(lambda: any((tmp_path / "killed").glob("work/*/fine_tuning*")), 300)
    running.kill()
    running.wait()
    assert start(tmp_path / "killed").wait() == 0
    reports = [tmp_path / name / "report.html" for name in ("whole", "killed")]
    assert reports[0].read_bytes() == reports[1].read_bytes()


def test_hopeless_labels_are_told(tmp_path, tiny_network):
    for i in range(160):
        name = "ab"[i * 7 % 11 % 2]
        write(tmp_path / "own" / name / f"{i}.png", drawn(i, 60))
    fitted, page = fit(tmp_path, tmp_path / "out", minutes=0)
    assert "no better than always naming the commonest class" in page
    assert "Do not use this model." in page
    assert fitted.facts["trust"]["threshold"] is None
    assert "Let a person look at the answers" not in page


def model_of(images, **settings):
    keras.utils.set_random_seed(0)
    from tiny import tiny_backbone

    model = classifier(tiny_backbone(), 2)
    return model, picture_classifier(model, images.class_names, 8, **settings)


def test_model_divides_by_the_temperature_and_keeps_sizes_it_knows():
    images = tiny_images()
    model, named = model_of(images, temperature=2.0, threshold=0.6)
    logits = model.predict_on_batch(images.pixels().astype("float32"))
    probabilities = named.predict_on_batch(images.pixels())
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    assert probabilities == pytest.approx(expected, abs=1e-5)
    answers = named.name_answers(np.array([[0.7, 0.3], [0.45, 0.55]]))
    assert answers == [("dark", 0.7, True), ("bright", 0.55, False)]


def test_model_without_threshold_is_never_sure():
    _, named = model_of(tiny_images())
    assert named.name_answers(np.array([[1.0, 0.0]]))[0][2] is False


def test_model_answers_in_a_fresh_process(own, tmp_path):
    _, named = model_of(tiny_images(), threshold=0.5)
    saving.save_model(named, tmp_path / "model.keras")
    path = own / "own/bright/000.png"
    here = named.answer(path)
    code = (
        "import json\nfrom tl_helpers.saving import load_model\n"
        f"model = load_model({str(tmp_path / 'model.keras')!r})\n"
        f"print(json.dumps([model.class_names, model.answer([{str(path)!r}])]))"
    )
    done = subprocess.check_output([sys.executable, "-c", code], text=True)
    names, answers = json.loads(done.splitlines()[-1])
    assert names == ["dark", "bright"]
    assert answers[0][0] == here[0][0]
    assert answers[0][1] == pytest.approx(here[0][1], abs=1e-6)
    pixels = decode_image(path, 8)[None]
    assert named.predict_on_batch(pixels).max() == pytest.approx(here[0][1], abs=1e-6)


def test_command_ends_in_one_sentence(tmp_path, capsys, tiny_network):
    dark_and_bright(tmp_path, 4, names=("dark",))
    assert __main__.main(["fit", str(tmp_path)]) == 2
    assert "expected at least two" in capsys.readouterr().err
