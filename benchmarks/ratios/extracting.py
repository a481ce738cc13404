"""`features.compute` beside `predict` and beside other runtimes, where installed."""

import importlib.util
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rows import compare, interleave, median_s

NUM_ROUNDS = 5
PREDICT_BATCH_SIZES = (16, 32, 64, 128, 256)
# name of the backbone, height and width of the images, how many of them
CASES = (("embedded", 64, 1024), ("MobileNetV2", 96, 256), ("MobileNetV2", 160, 128))


def measure_extraction():
    """Compare `features.compute` with its rivals, on every case."""
    return [row for case in CASES for row in _measure(*case)]


def _measure(name, size_px, num_images):
    """Rows of one network; random weights take as long as trained ones."""
    from tl_helpers import backbones, datasets, features

    images = datasets.load("solids", size_px=size_px)[:num_images]
    backbone = backbones.load(name, pretrained=name == "embedded")
    model, pixels = backbone.extractor(), images.pixels()
    size = features.batch_size(pixels.shape[1:])

    def predict(batch_size):
        return lambda: model.predict(pixels, batch_size=batch_size, verbose=0)

    def run(answer):
        return lambda: [
            answer(pixels[i : i + size]) for i in range(0, len(pixels), size)
        ]

    with tempfile.TemporaryDirectory() as folder:
        others = _other_runtimes(model, pixels, size, Path(folder))
        tasks = {f"predict at {n}": predict(n) for n in PREDICT_BATCH_SIZES}
        tasks |= {other: run(answer) for other, answer in others.items()}
        tasks["compute"] = lambda: features.compute(backbone, images)
        spent = interleave(tasks, NUM_ROUNDS)
    ours = spent["compute"]
    own = [spent[f"predict at {n}"] for n in PREDICT_BATCH_SIZES]
    best = min(own, key=median_s)
    case = f"images/s, {name} at {size_px} px: features.compute"
    raw = {"images": num_images, "batch": size, **spent}
    rows = [compare(f"{case} / predict at its best", best, ours, 0.95, raw=raw)]
    return rows + [
        compare(f"{case} / {other}", spent[other], ours, None) for other in others
    ]


def _other_runtimes(model, pixels, size, folder):
    """Return {runtime: callable on a batch} of what is installed and agrees with us."""
    found = {}
    for name, (packages, build) in RUNTIMES.items():
        if all(importlib.util.find_spec(package) for package in packages):
            answer = build(model, pixels[:size], folder)
            values = model.predict_on_batch(pixels[:size])
            np.testing.assert_allclose(answer(pixels[:size]), values, atol=1e-3)
            found[name] = answer
    return found


def _onnx_runtime(model, batch, folder):
    import onnxruntime

    model(batch[:1].astype("float32"))  # Keras exports no model that never ran
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.astype("float32")})[0]


def _openvino(model, batch, folder):
    import openvino

    model.export(folder / "saved", format="tf_saved_model", verbose=False)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # half of that where the CPU can
    converted = openvino.convert_model(folder / "saved")
    compiled = openvino.compile_model(converted, "CPU", settings)
    return lambda images: compiled(images.astype("float32"))[0]


def _litert(model, batch, folder):
    from ai_edge_litert.interpreter import Interpreter

    model.export(folder / "model.tflite", format="litert", verbose=False)
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=2)
    place = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]
    state = SimpleNamespace(shape=None)

    def answer(images):
        if images.shape != state.shape:
            interpreter.resize_tensor_input(place, images.shape)
            interpreter.allocate_tensors()
            state.shape = images.shape
        interpreter.set_tensor(place, images.astype("float32"))
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return answer


RUNTIMES = {
    "ONNX Runtime": (("onnxruntime", "tf2onnx"), _onnx_runtime),
    "OpenVINO": (("openvino",), _openvino),
    "LiteRT": (("ai_edge_litert",), _litert),
}
