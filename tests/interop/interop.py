"""What the tests of this folder and scripts/compare_keras.py share: programs, data, models, losses step by step.

Environment: CNNBN_BIN (folder of the programs), CNNBN_SOURCE (the source tree).
"""
import csv
import os
import subprocess
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

SOURCE = Path(os.environ["CNNBN_SOURCE"])
BIN = Path(os.environ["CNNBN_BIN"])
DATA = SOURCE / "datasets" / "fashion-mnist-7000.h5"


def run(program, *arguments, ranks=1):
    """Runs a program of cnnbn and returns what it printed; a failure shows both streams."""
    command = [SOURCE / "scripts" / "mpirun.sh", ranks, BIN / program, *arguments]
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{program} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def train(folder, *options, ranks=1):
    """cnnbn-train with a log of its steps; the losses before each update."""
    log = folder / f"steps-{ranks}.csv"
    run("cnnbn-train", "--no-shuffle", "--log-steps", log, *options, ranks=ranks)
    with open(log) as f:
        return np.array([float(row["loss"]) for row in csv.DictReader(f)])


def images(split="train", path=DATA):
    """Images of a dataset as cnnbn and Keras see them, float32 (N, H, W, C), and their labels."""
    with h5py.File(path) as f:
        x, y = f[f"x_{split}"][:], f[f"y_{split}"][:]
    x = x.astype("float32") / np.float32(255)
    return (x[..., None] if x.ndim == 3 else x), y.astype("int64")


def part(path, n_train, n_test=10):
    """A dataset of the first images of the bundled one."""
    with h5py.File(DATA) as whole, h5py.File(path, "w") as f:
        for split, n in (("train", n_train), ("test", n_test)):
            for name in ("x_", "y_"):
                f[name + split] = whole[name + split][:n]
        f.attrs["class_names"] = whole.attrs["class_names"]
    return path


def noise(path, shape, n_classes, n_train=64, n_test=32):
    """A dataset of random images, for models of other shapes than the bundled data."""
    random = np.random.default_rng(1)
    with h5py.File(path, "w") as f:
        for split, n in (("train", n_train), ("test", n_test)):
            f[f"x_{split}"] = random.integers(0, 256, (n, *shape), dtype="uint8")
            f[f"y_{split}"] = (np.arange(n) % n_classes).astype("uint8")
        f.attrs["class_names"] = [f"class {i}" for i in range(n_classes)]
    return path


def keras_losses(model, optimizer, x, y, batch, steps):
    """Loss of each batch before its update, in the order of the data, epoch after epoch."""
    model.compile(optimizer, "sparse_categorical_crossentropy")
    per_epoch = -(-len(x) // batch)
    losses = []
    for step in range(steps):
        begin = step % per_epoch * batch
        model.reset_metrics()  # else the loss is the mean so far
        logs = model.train_on_batch(x[begin : begin + batch], y[begin : begin + batch], return_dict=True)
        losses.append(float(logs["loss"]))
    return np.array(losses)


def checkpoint(folder, *options, ranks=1):
    """Trains and returns the newest checkpoint."""
    run("cnnbn-train", "--checkpoint-dir", folder / "run", "--no-validation", *options, ranks=ranks)
    return max((folder / "run").glob("ckpt-*.h5"))


def probabilities(file, data, count):
    """What cnnbn-predict says of the first test images: (count, classes)."""
    with h5py.File(data) as f:
        n_classes = len(f.attrs["class_names"])
    text = run("cnnbn-predict", file, data, "--csv", "--top", n_classes, "--count", count)
    p = np.full((count, n_classes), np.nan)
    for row in csv.DictReader(text.splitlines()):
        for key in row:
            if key.startswith("class"):
                p[int(row["input"]), int(row[key])] = float(row[key.replace("class", "probability")])
    return p


def check_predictions(model, file, data, count):
    """cnnbn's log-probabilities beside those of Keras' logits: within 1e-5 of the greatest logit."""
    x = images("test", data)[0][:count]
    last = model.layers[-1]
    if isinstance(last, L.Softmax):
        logits = keras.Model(model.inputs, last.input)(x)
    else:
        softmax, last.activation = last.activation, keras.activations.linear
        logits = model(x)
        last.activation = softmax
    logits = np.float64(logits)
    theirs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    difference = np.max(np.abs(np.log(probabilities(file, data, count)) - theirs))
    assert difference <= 1e-5 * np.max(np.abs(logits)), f"{difference} beside logits up to {np.max(np.abs(logits))}"


def worst(ours, theirs):
    """Greatest relative difference over the steps; NaN and a wrong number of steps fail."""
    assert ours.shape == theirs.shape, f"{ours.shape} steps beside {theirs.shape}"
    assert np.isfinite(ours).all() and np.isfinite(theirs).all(), f"{ours}\n{theirs}"
    return np.max(np.abs(ours - theirs) / np.abs(theirs))


def example():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.BatchNormalization(),
            L.Conv2D(64, 3, activation="relu"),
            L.BatchNormalization(),
            L.Flatten(),
            L.Dense(10, activation="softmax"),
        ]
    )


def mixed():
    """Every padding and pooling, strides, batch normalisation behind a dense layer, a dropout that drops nothing."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(8, 5, strides=2, padding="same", use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(3, strides=2, padding="same"),
            L.Conv2D(24, 3, padding="same", activation="relu"),
            L.BatchNormalization(momentum=0.9, epsilon=1e-5),
            L.AveragePooling2D(3, strides=2, padding="same"),
            L.Conv2D(32, (1, 3), strides=(1, 2)),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(24, use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            L.Dropout(0.0),
            L.Dense(10),
            L.Softmax(),
        ]
    )


TORCH_ORDER = {4: (3, 2, 0, 1), 3: (2, 1, 0), 2: (1, 0), 1: (0,)}  # from Keras' layout to PyTorch's


def in_torch_layouts(path):
    """Weights of a checkpoint by Keras' names, transposed to PyTorch's layouts, double."""
    weights = {}
    with h5py.File(path) as f:
        for layer in f["model_weights"].values():
            for name in layer.attrs["weight_names"]:
                value = layer[name][:].astype("float64")
                weights["/".join(name.split("/")[-2:]).removesuffix(":0")] = value.transpose(TORCH_ORDER[value.ndim])
    return weights
