#!/usr/bin/env python3
"""Writes keras_layers.txt: small models with one layer under test each, computed by Keras (3.15 on JAX when it was made).

    pip install keras==3.15.* jax && python make_keras_layers.py

A case is the model as JSON, its weights in Keras' order, a batch, and what Keras makes of them: probabilities, loss, and
the gradient of every weight that trains. Behind the layer stands a dense layer, in front of it mostly a convolution, so
that both gradients of the layer are seen.
"""
import json
import os

os.environ["KERAS_BACKEND"] = "jax"
import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

N, CLASSES = 3, 4
IMAGE, SEQUENCE = (5, 4, 2), (9, 2)


def chain(shape, *layers):
    """Convolution, the layers under test, dense."""
    x = i = keras.Input(shape, name="in")
    for layer in layers:
        x = layer(x)
    if len(x.shape) > 2:
        x = L.Flatten()(x)
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(x))


def image(*layers, filters=3):
    return chain(IMAGE, L.Conv2D(filters, 2, padding="same"), *layers)


def sequence(*layers, filters=3):
    return chain(SEQUENCE, L.Conv1D(filters, 2, padding="same"), *layers)


def merge(layer, n=2):
    i = keras.Input(IMAGE, name="in")
    parts = [L.Conv2D(2, 2, padding="same", name=f"part{k}")(i) for k in range(n)]
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.Flatten()(layer(parts))))


def squeeze_excite():
    i = keras.Input(IMAGE, name="in")
    x = L.Conv2D(4, 3, padding="same", activation="relu")(i)
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    s = L.Conv2D(4, 1, activation="sigmoid")(s)
    x = L.Multiply()([x, s])
    x = L.Multiply()([s, x])
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.GlobalMaxPooling2D()(x)))


CASES = {
    "separable": lambda: image(L.SeparableConv2D(4, (3, 2), strides=(2, 2), padding="same", depth_multiplier=2)),
    "separable_dilated": lambda: image(L.SeparableConv2D(3, 2, dilation_rate=2, use_bias=False, activation="relu")),
    "conv1d": lambda: sequence(L.Conv1D(4, 3, strides=2, activation="tanh")),
    "conv1d_same": lambda: sequence(L.Conv1D(4, 4, padding="same", groups=2), filters=4),
    "conv1d_causal": lambda: sequence(L.Conv1D(3, 3, padding="causal", dilation_rate=2)),
    "conv1d_causal_stride": lambda: sequence(L.Conv1D(3, 3, padding="causal", strides=2), L.BatchNormalization()),
    "max_pooling1d": lambda: sequence(L.MaxPooling1D(3, strides=2, padding="same")),
    "average_pooling1d": lambda: sequence(L.AveragePooling1D(2), L.Conv1D(3, 2)),
    "global_max_pooling1d": lambda: sequence(L.GlobalMaxPooling1D()),
    "global_average_pooling1d": lambda: sequence(L.GlobalAveragePooling1D(keepdims=True)),
    "global_max_pooling2d": lambda: image(L.GlobalMaxPooling2D(keepdims=True)),
    "zero_padding": lambda: image(L.ZeroPadding2D(((1, 0), (2, 1)))),
    "zero_padding_conv": lambda: image(L.ZeroPadding2D(((0, 1), (0, 1))), L.Conv2D(3, 3, strides=2)),
    "zero_padding_bn_conv": lambda: image(
        L.BatchNormalization(), L.ReLU(), L.ZeroPadding2D((2, 1)), L.Conv2D(3, 3), L.BatchNormalization()
    ),
    "zero_padding_wide": lambda: image(L.ZeroPadding2D(3), L.Conv2D(2, 2, strides=3)),
    "zero_padding_pool": lambda: image(L.ZeroPadding2D(1), L.MaxPooling2D(3, strides=2)),
    "cropping": lambda: image(L.Cropping2D(((1, 1), (0, 2)))),
    "up_sampling": lambda: image(L.UpSampling2D((2, 3))),
    "layer_norm": lambda: image(L.LayerNormalization()),
    "layer_norm_all": lambda: image(L.LayerNormalization(axis=[1, 2, 3], epsilon=1e-5)),
    "layer_norm_flat": lambda: image(L.Flatten(), L.LayerNormalization(scale=False)),
    "group_norm": lambda: image(L.GroupNormalization(2), filters=6),
    "group_norm_one": lambda: image(L.GroupNormalization(1, center=False), L.ReLU(), filters=5),
    "group_norm_each": lambda: image(L.GroupNormalization(-1)),
    "unit_norm": lambda: image(L.UnitNormalization()),
    "prelu": lambda: image(L.PReLU()),
    "prelu_shared": lambda: image(L.PReLU(shared_axes=[1, 2])),
    "rescaling": lambda: image(L.Rescaling(-0.5, offset=0.25)),
    "rescaling_input": lambda: chain(IMAGE, L.Rescaling(1 / 3, offset=-1), L.Conv2D(3, 2)),
    "subtract": lambda: merge(L.Subtract()),
    "multiply": lambda: merge(L.Multiply(), 3),
    "squeeze_excite": squeeze_excite,
    "average": lambda: merge(L.Average(), 3),
    "maximum": lambda: merge(L.Maximum(), 3),
    "minimum": lambda: merge(L.Minimum()),
    "leaky_relu": lambda: image(L.LeakyReLU(negative_slope=0.1)),
    "elu": lambda: image(L.ELU(alpha=0.7)),
    "relu_threshold": lambda: image(L.ReLU(max_value=1.5, negative_slope=0.2, threshold=0.1)),
}
for name in ("selu", "gelu", "silu", "hard_sigmoid", "hard_swish", "softplus", "tanh", "relu6", "leaky_relu", "elu"):
    CASES["activation_" + name] = lambda name=name: image(L.Activation(name))


def numbers(out, what, array):
    flat = np.asarray(array, dtype=np.float32).ravel()
    out.write(f"{what} {flat.size}\n")
    for i in range(0, flat.size, 12):
        out.write(" ".join(f"{v:.7g}" for v in flat[i : i + 12]) + "\n")


def write_case(out, name, make):
    keras.backend.clear_session()
    rng = np.random.default_rng(abs(hash_name(name)))
    model = make()
    weights = []
    for w in model.weights:
        # Small enough that no probability comes near the 1e-7 at which Keras cuts it.
        scale = 1.5 / np.sqrt(np.prod(w.shape[:-1])) if w.name.endswith("kernel") else 0.3
        value = rng.uniform(-1, 1, w.shape) * scale
        if w.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, w.shape)
        weights.append(value.astype("float32"))
    model.set_weights(weights)
    x = rng.uniform(-1, 1, (N, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, CLASSES, N).astype("int32")
    fixed = [v.value for v in model.non_trainable_variables]

    def loss_of(trainable):
        p, _ = model.stateless_call(trainable, fixed, x, training=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, p))

    loss, gradients = jax.value_and_grad(loss_of)([v.value for v in model.trainable_variables])
    out.write(f"case {name}\n{json.dumps(json.loads(model.to_json()))}\n")
    numbers(out, "x", x)
    numbers(out, "y", y)
    for w in weights:
        numbers(out, "weight", w)
    numbers(out, "probabilities", model(x, training=False))
    numbers(out, "loss", loss)
    for g in gradients:
        numbers(out, "gradient", g)


def hash_name(name):
    value = 2166136261
    for letter in name.encode():
        value = (value ^ letter) * 16777619 % 2**32
    return value


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "keras_layers.txt"), "w") as out:
        for name, make in CASES.items():
            write_case(out, name, make)


main()
