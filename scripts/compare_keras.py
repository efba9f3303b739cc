"""cnnbn beside Keras; started by compare-keras.sh, which has the options."""
import argparse
import csv
import datetime
import platform
import re
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow
from interop import SOURCE, example, images, keras_losses, run, train, worst

RANKS = (1, 2, 3)
FIRST = (10, 20, 50)


def cpu():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*: (.*)", f.read())
    return found.group(1) if found else platform.machine()


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print()


def losses_of_keras(weights, policy, x, y, steps):
    keras.config.set_dtype_policy(policy)
    model = example()
    model.set_weights(weights)
    assert {variable.dtype for variable in model.variables} == {policy}
    losses = keras_losses(model, keras.optimizers.Adam(1e-4), x.astype(policy), y, 32, steps)
    keras.config.set_dtype_policy("float32")
    return losses


def compare_losses(seeds):
    x, y = images()
    rows = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            keras.utils.set_random_seed(seed)
            model = example()
            model.save(folder / "init.h5")
            single, double = (losses_of_keras(model.get_weights(), policy, x, y, FIRST[-1]) for policy in ("float32", "float64"))

            def row(name, a, b):
                rows.append([seed, name, *(f"{worst(a[:n], b[:n]):.1e}" for n in FIRST)])

            row("Keras float32 to Keras double", single, double)
            for ranks in RANKS:
                init = ["--model", folder / "init.h5", "--init-from", folder / "init.h5"]
                ours = train(folder, *init, "--lr", 1e-4, "--steps", FIRST[-1], "--no-validation", ranks=ranks)
                row(f"cnnbn np = {ranks} to Keras double", ours, double)
                row(f"cnnbn np = {ranks} to Keras float32", ours, single)
    print("Worst relative difference of the loss, example model, Adam 1e-4, batch 32, the same images in the same order:\n")
    table(["initial weights", "what", *(f"first {n} steps" for n in FIRST)], rows)


def accuracy_of_keras(seed, epochs, train_set, test_set):
    keras.utils.set_random_seed(seed)
    model = example()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*train_set, batch_size=32, epochs=epochs, validation_data=test_set, verbose=0).history
    return history["val_accuracy"]


def accuracy_of_cnnbn(seed, epochs, data, ranks):
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        run("cnnbn-train", "--data", data, "--seed", seed, "--epochs", epochs, "--log", log, ranks=ranks)
        with open(log) as f:
            return [float(row["val_accuracy"]) for row in csv.DictReader(f)]


def compare_accuracy(arguments):
    data = arguments.data or SOURCE / "datasets" / "fashion-mnist.h5"
    sets = images("train", data), images("test", data)
    runs = {
        f"cnnbn, {arguments.ranks} ranks": lambda seed: accuracy_of_cnnbn(seed, arguments.epochs, data, arguments.ranks),
        "Keras": lambda seed: accuracy_of_keras(seed, arguments.epochs, *sets),
    }
    rows, last = [], {name: [] for name in runs}
    for seed in range(1, arguments.seeds + 1):
        for name, accuracy in runs.items():
            start = time.monotonic()
            each = accuracy(seed)
            last[name].append(each[-1])
            rows.append([name, seed, f"{each[-1]:.4f}", f"{max(each):.4f}", f"{time.monotonic() - start:.0f}"])
            print(*rows[-1], flush=True)
    for name, values in last.items():
        rows.append([name, "mean", f"{np.mean(values):.4f}", "", ""])
    print(
        f"\nTest accuracy on {data.name} ({len(sets[0][1])} + {len(sets[1][1])} images), example model, Keras' defaults, "
        f"batch 32, {arguments.epochs} epochs:\n"
    )
    table(["who", "seed", "last epoch", "best epoch", "seconds"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    versions = f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"
    print(f"{datetime.date.today()}, {cpu()}; {versions}; {run('cnnbn-train', '--version').strip()}\n")
    if arguments.accuracy:
        compare_accuracy(arguments)
    else:
        compare_losses(arguments.seeds)


main()
