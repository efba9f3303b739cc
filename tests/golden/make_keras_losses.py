#!/usr/bin/env python3
"""Writes keras_losses.txt: every loss and metric on a dense model, computed by Keras (3.15 on TensorFlow when it was made).

    pip install keras==3.15.* tensorflow-cpu && python make_keras_losses.py

A case is the model as JSON, loss, label smoothing, delta and metrics, a batch, the weights, what model.evaluate() makes of them,
and the gradient of the loss by each weight.
"""
import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as L  # noqa: E402
from keras import losses, metrics  # noqa: E402

N, IMAGE = 24, (2, 3, 1)


def sparse(rng, k):
    return rng.integers(0, k, N).astype("int64")


def one_hot(rng, k):
    return keras.utils.to_categorical(sparse(rng, k), k).astype("float32")


def soft(rng, k):
    p = rng.uniform(0.05, 1, (N, k))
    return (p / p.sum(axis=1, keepdims=True)).astype("float32")


def several(rng, k):
    return rng.integers(0, 2, (N, k)).astype("float32")


def numbers(rng, k):
    return rng.uniform(-2, 2, (N, k)).astype("float32")


def binary_accuracy(threshold=0.5):
    return metrics.BinaryAccuracy(threshold=threshold)


# name: outputs, activation, targets, loss, (name of the loss, smoothing, delta), {metric: Keras' own}
CASES = {
    "sparse": (5, "softmax", sparse, losses.SparseCategoricalCrossentropy(),
               ("sparse_categorical_crossentropy", 0, 1),
               {"accuracy": metrics.SparseCategoricalAccuracy(), "top-2": metrics.SparseTopKCategoricalAccuracy(2)}),
    "sparse_logits": (4, None, sparse, losses.SparseCategoricalCrossentropy(from_logits=True),
                      ("sparse_categorical_crossentropy", 0, 1), {"accuracy": metrics.SparseCategoricalAccuracy()}),
    "categorical": (4, "softmax", one_hot, losses.CategoricalCrossentropy(),
                    ("categorical_crossentropy", 0, 1),
                    {"accuracy": metrics.CategoricalAccuracy(), "top-3": metrics.TopKCategoricalAccuracy(3),
                     "auc": metrics.AUC(), "mae": metrics.MeanAbsoluteError(), "mse": metrics.MeanSquaredError()}),
    "soft_smoothed": (5, "softmax", soft, losses.CategoricalCrossentropy(label_smoothing=0.2),
                      ("categorical_crossentropy", 0.2, 1), {"accuracy": metrics.CategoricalAccuracy()}),
    "soft_logits": (3, None, soft, losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
                    ("categorical_crossentropy", 0.1, 1), {"mse": metrics.MeanSquaredError()}),
    "binary": (1, "sigmoid", several, losses.BinaryCrossentropy(), ("binary_crossentropy", 0, 1),
               {"accuracy": binary_accuracy(), "auc": metrics.AUC(), "mae": metrics.MeanAbsoluteError()}),
    "binary_smoothed": (3, "sigmoid", several, losses.BinaryCrossentropy(label_smoothing=0.2),
                        ("binary_crossentropy", 0.2, 1),
                        {"binary_accuracy": binary_accuracy(), "auc": metrics.AUC()}),
    "binary_logits": (2, None, several, losses.BinaryCrossentropy(from_logits=True), ("binary_crossentropy", 0, 1),
                      {"binary_accuracy": binary_accuracy(0.0), "auc": metrics.AUC(from_logits=True)}),
    "binary_probabilities": (3, "hard_sigmoid", several, losses.BinaryCrossentropy(), ("binary_crossentropy", 0, 1),
                             {"binary_accuracy": binary_accuracy(), "auc": metrics.AUC()}),
    "mse": (2, None, numbers, losses.MeanSquaredError(), ("mse", 0, 1), {"mae": metrics.MeanAbsoluteError()}),
    "mse_softmax": (4, "softmax", one_hot, losses.MeanSquaredError(), ("mse", 0, 1), {"mae": metrics.MeanAbsoluteError()}),
    "mse_tanh": (3, "tanh", numbers, losses.MeanSquaredError(), ("mse", 0, 1), {}),
    "mae": (1, None, numbers, losses.MeanAbsoluteError(), ("mae", 0, 1), {"mse": metrics.MeanSquaredError()}),
    "mae_sigmoid": (3, "sigmoid", several, losses.MeanAbsoluteError(), ("mae", 0, 1), {}),
    "huber": (2, None, numbers, losses.Huber(delta=0.7), ("huber", 0, 0.7), {"mse": metrics.MeanSquaredError()}),
}


def write_numbers(out, what, array):
    flat = np.asarray(array, dtype=np.float64).ravel()
    out.write(f"{what} {flat.size}\n")
    for i in range(0, flat.size, 12):
        out.write(" ".join(f"{v:.8g}" for v in flat[i : i + 12]) + "\n")


def write_case(out, number, name):
    outputs, activation, make, loss, (loss_name, smoothing, delta), figures = CASES[name]
    keras.utils.set_random_seed(number)
    rng = np.random.default_rng(100 + number)
    model = keras.Sequential([keras.Input(IMAGE, name="in"), L.Flatten(), L.Dense(outputs, activation=activation)])
    # Outputs of some size, and none where a loss has a kink or hard_sigmoid ends.
    model.set_weights([(rng.uniform(-1, 1, w.shape)).astype("float32") for w in model.weights])
    x, y = rng.uniform(-1, 1, (N, *IMAGE)).astype("float32"), make(rng, outputs)
    model.compile("sgd", loss, metrics=list(figures.values()))
    measured = model.evaluate(x, y, batch_size=N, verbose=0)
    measured = measured if isinstance(measured, list) else [measured]

    @tf.function  # in a graph Keras takes the logits in front of a sigmoid or softmax
    def gradients():
        with tf.GradientTape() as tape:
            value = loss(tf.convert_to_tensor(y if y.ndim > 1 else y[:, None]), model(x, training=True))
        return tape.gradient(value, model.trainable_variables)

    out.write(f"case {name} {loss_name} {smoothing} {delta} {','.join(figures) or 'none'}\n")
    out.write(json.dumps(json.loads(model.to_json())) + "\n")
    write_numbers(out, "x", x)
    write_numbers(out, "labels" if make is sparse else "rows", y)
    for w in model.get_weights():
        write_numbers(out, "weight", w)
    write_numbers(out, "measured", measured)
    for g in gradients():
        write_numbers(out, "gradient", tf.convert_to_tensor(g))


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "keras_losses.txt"), "w") as out:
        for number, name in enumerate(CASES):
            write_case(out, number, name)


main()
