"""Models of keras.applications whose layers go beyond those of the built-in models, without their weights, with random ones: from Keras' .keras and .h5 here and back, ONNX, and one step.

Small images, as the sizes of the layers' weights do not depend on them. A row of the table of docs/interop.md for each.
"""
import os
import re

os.environ["KERAS_BACKEND"] = "tensorflow"  # NASNet refuses torch; what is run once is not compiled
import h5py  # noqa: E402
import matrix  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from matrix import keras  # noqa: E402

CLASSES, SEED = 10, 4
# Side of the images, and what they are multiplied by: those that scale their input themselves take pixels.
MODELS = {
    "MobileNetV3Small": (32, 255),
    "EfficientNetB0": (32, 255),
    "EfficientNetV2B0": (32, 255),
    "MobileNet": (32, 1),
    "MobileNetV2": (32, 1),
    "ConvNeXtTiny": (32, 255),
    "NASNetMobile": (32, 1),
}
COLUMNS = ["images", "parameters", "forward", f"Keras {keras.__version__}", "ONNX", "loss of a step"]

# The weights are given: random ones take longer than all else.
keras.initializers.VarianceScaling.__call__ = lambda self, shape, dtype=None: np.zeros(shape, dtype)
keras.initializers.TruncatedNormal.__call__ = lambda self, shape, dtype=None: np.zeros(shape, dtype)


def add_row(name, cells):
    """To the table in the file CNNBN_TABLE, where that is set."""
    lines = [f"| {name} | " + " | ".join(cells) + " |"]
    table = os.environ.get("CNNBN_TABLE", os.devnull)
    with open(table, "a") as f:
        if not f.tell():
            lines = ["| model | " + " | ".join(COLUMNS) + " |", "|---" * (1 + len(COLUMNS)) + "|", *lines]
        f.write("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", MODELS)
def test_model(name, tmp_path):
    keras.backend.clear_session()
    side, scale = MODELS[name]
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=CLASSES)
    matrix.randomise(model, SEED)
    rng = np.random.default_rng(SEED)
    x = (scale * rng.uniform(0, 1, (matrix.N, side, side, 3))).astype("float32")
    expected = matrix.undecided(model, x)
    data = tmp_path / "data.h5"
    with h5py.File(data, "w") as f:
        for split in ("train", "test"):
            f["x_" + split], f["y_" + split] = x, np.arange(matrix.N, dtype="int32")
        f.attrs["class_names"] = [str(k) for k in range(CLASSES)]
    digests = []
    for ending in (".keras", ".h5"):
        model.save(tmp_path / ("theirs" + ending))
        matrix.run("cnnbn-convert", tmp_path / ("theirs" + ending), tmp_path / f"from{ending[1:]}.h5")
        digests.append(matrix.run("cnnbn-info", "--digest", tmp_path / f"from{ending[1:]}.h5").split()[0])
    assert digests[0] == digests[1]
    ours = tmp_path / "fromkeras.h5"
    off = matrix.difference(matrix.predicted(ours, data, CLASSES), expected)
    for ending in (".keras", ".onnx"):
        matrix.run("cnnbn-convert", ours, tmp_path / ("ours" + ending))
    loaded = keras.models.load_model(tmp_path / "ours.keras", compile=False)
    there = matrix.difference(np.asarray(loaded(x, training=False)), expected)
    onnx = matrix.difference(matrix.through_onnx(tmp_path / "ours.onnx", x), expected)
    assert max(off, there, onnx) <= matrix.TOLERANCE, (off, there, onnx)
    # A loss that is not finite ends with another code than 0.
    text = matrix.run("cnnbn-train", "--model", ours, "--init-from", ours, "--data", data, "--steps=1", f"--batch-size={matrix.N}",
                      "--no-validation", "--lr=1e-4", "--progress=lines", f"--checkpoint-dir={tmp_path / 'run'}")  # fmt: skip
    loss = re.search(r"loss: (\S+)", text)[1]
    assert np.isfinite(float(loss))
    assert matrix.run("cnnbn-info", "--digest", next((tmp_path / "run").glob("ckpt-*.h5"))).split()[0] != digests[0]
    add_row(name, [f"{side}x{side}", f"{model.count_params():,}", *(f"{v:.1e}" if v else "0" for v in (off, there, onnx)), loss])
