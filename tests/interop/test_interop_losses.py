"""The loss and metrics that a checkpoint tells Keras of: the loaded model is compiled, and evaluates to what cnnbn-eval says."""
import re
import subprocess
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from interop import BIN, checkpoint, run

# Of float32 sums in another order; 4e-6 was seen.
TOLERANCE = 2e-5
# An output beside a threshold of the AUC may fall on its other side: one of some thousand pairs.
TOLERANCE_AUC = 1e-3

N_TRAIN, N_TEST, IMAGE = 96, 60, (8, 8, 1)
MODEL = """
input: [8, 8, 1]
layers:
  - Conv2D: {{filters: 4, kernel_size: 3, activation: relu}}
  - BatchNormalization
  - Flatten
  - Dense: {{units: {units}, activation: {activation}}}
"""


def classes(random, n, k):
    return random.integers(0, max(k, 2), n).astype("uint8")


def one_hot(random, n, k):
    return keras.utils.to_categorical(classes(random, n, k), k).astype("uint8")


def soft(random, n, k):
    p = random.uniform(0.05, 1, (n, k))
    return (p / p.sum(axis=1, keepdims=True)).astype("float32")


def several(random, n, k):
    return random.integers(0, 2, (n, k)).astype("uint8")


def numbers(random, n, k):
    return random.uniform(-2, 2, (n, k)).astype("float32")


CASES = {
    "sparse": (4, "softmax", classes, ["--metrics", "accuracy,top-2"]),
    "sparse_logits": (4, "linear", classes, []),
    "sparse_smoothed": (4, "softmax", classes, ["--label-smoothing", 0.1]),
    "categorical": (4, "softmax", one_hot, ["--metrics", "accuracy,top-2,auc,mae,mse"]),
    "soft": (5, "softmax", soft, ["--label-smoothing", 0.1]),
    "soft_logits": (5, "linear", soft, ["--loss", "categorical_crossentropy"]),
    "binary": (1, "sigmoid", classes, ["--metrics", "accuracy,auc,mae"]),
    "binary_logits": (1, "linear", classes, ["--from-logits", "--metrics", "accuracy,auc"]),
    "several": (3, "sigmoid", several, ["--label-smoothing", 0.2, "--metrics", "binary_accuracy,auc"]),
    "mse": (2, "linear", numbers, []),
    "mae": (1, "linear", numbers, ["--loss", "mae", "--optimizer", "sgd", "--momentum", 0.9, "--lr", 0.001]),
    "huber": (2, "linear", numbers, ["--loss", "huber", "--huber-delta", 0.4, "--metrics", "mse,mae"]),
    "mse_softmax": (4, "softmax", one_hot, ["--loss", "mse", "--metrics", "accuracy"]),
}


def dataset(path, make, k):
    random = np.random.default_rng(3)
    with h5py.File(path, "w") as f:
        for split, n in (("train", N_TRAIN), ("test", N_TEST)):
            f[f"x_{split}"] = random.integers(0, 256, (n, *IMAGE), dtype="uint8")
            f[f"y_{split}"] = make(random, n, k)
    with h5py.File(path) as f:
        return f["x_test"][:].astype("float32") / np.float32(255), f["y_test"][:]


def evaluated(*arguments):
    """Loss and metrics as cnnbn-eval prints them, by name: in all digits where there are several, else in four."""
    text = run("cnnbn-eval", *arguments)
    figures = {name: float(value) for name, value in re.findall(r"(\S+): ([-0-9.e]+)  ", text.splitlines()[-1])}
    figures.update({name: float(value) for name, value in re.findall(r"^([a-z]\S*) ([-0-9.e]+)$", text, re.M)})
    figures["loss"] = float(re.search(r"mean loss ([-0-9.e]+)", text)[1])
    return figures


@pytest.mark.parametrize("name", CASES)
def test_keras_evaluates_to_the_same(name, tmp_path):
    units, activation, make, options = CASES[name]
    data, yaml = tmp_path / "data.h5", tmp_path / "model.yaml"
    x, y = dataset(data, make, units)
    yaml.write_text(MODEL.format(units=units, activation=activation))
    file = checkpoint(tmp_path, "--data", data, "--model", yaml, "--epochs", 2, *options)
    ours = evaluated(file, "--data", data)

    model = keras.models.load_model(file)
    theirs = model.evaluate(x, y, batch_size=N_TEST, verbose=0, return_dict=True)
    assert set(ours) == set(theirs), f"{ours} {theirs}"
    for figure, value in theirs.items():
        allowed = TOLERANCE_AUC if figure == "auc" else 6e-5 if len(ours) == 2 and figure != "loss" else TOLERANCE
        assert abs(ours[figure] - value) <= allowed * max(1, abs(value)), f"{figure}: {ours} {theirs}"

    # On in Keras, saved as it saves, and back: the loss comes from what Keras wrote.
    model.fit(x, y, epochs=1, batch_size=20, verbose=0)
    said = dict(re.findall(r"^(loss) +([^;]*);", run("cnnbn-train", "--data", data, "--model", file, "--dry-run"), re.M))
    for kind in ("h5", "keras"):
        saved = tmp_path / f"saved.{kind}"
        model.save(saved)
        again = dict(re.findall(r"^(loss) +([^;]*);", run("cnnbn-train", "--data", data, "--model", saved, "--dry-run"), re.M))
        if name == "huber":  # Keras 3 leaves its delta out of both files
            assert again["loss"] == "huber, delta 1"
            continue
        assert again["loss"] == said["loss"]
        theirs = model.evaluate(x, y, batch_size=N_TEST, verbose=0)
        theirs = theirs[0] if isinstance(theirs, list) else theirs
        assert abs(evaluated(saved, "--data", data)["loss"] - theirs) <= TOLERANCE * max(1, abs(theirs))


def test_a_loss_that_is_not_known_is_named(tmp_path):
    data = tmp_path / "data.h5"
    x, y = dataset(data, several, 1)
    model = keras.Sequential([keras.Input(IMAGE), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", keras.losses.BinaryFocalCrossentropy())
    model.save(tmp_path / "focal.keras")
    program = Path(BIN) / "cnnbn-eval"
    done = subprocess.run([program, tmp_path / "focal.keras", "--data", data], capture_output=True, text=True)
    assert done.returncode == 2
    assert "was compiled with the loss binary_focal_crossentropy, which is not known here: give --loss" in done.stderr
    assert evaluated(tmp_path / "focal.keras", "--data", data, "--loss", "binary_crossentropy")["loss"] > 0
