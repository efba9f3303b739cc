#!/usr/bin/env python3
"""Writes keras_layers.txt: small models with one layer under test each, computed by Keras (3.15 on JAX when it was made).

    pip install keras==3.15.* jax && python make_keras_layers.py [CASE...]

Cases that are named are appended, without names all are written.

A case is the model as JSON, its weights in Keras' order, a batch, and what Keras makes of them: probabilities, loss (with
the regularisers' penalties), the gradient of every weight that trains, and where there are constraints the weights after one
step of SGD (lr 0.5). Behind the layer stands a dense layer, in front of it mostly a convolution, so
that both gradients of the layer are seen.
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.src.applications.convnext import LayerScale  # noqa: E402
from keras import constraints as C  # noqa: E402
from keras import initializers as I  # noqa: E402, E741
from keras import layers as L  # noqa: E402
from keras import regularizers as R  # noqa: E402

N, CLASSES = 3, 4
LR = 0.5
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


def broadcast(layer, *shapes):
    """Convolutions of (5, 4, 3) cut or pooled down to the shapes."""
    i = keras.Input(IMAGE, name="in")
    parts = []
    for k, (h, w, c) in enumerate(shapes):
        x = L.Conv2D(c, 2, padding="same", name=f"part{k}")(i)
        parts.append(L.MaxPooling2D((IMAGE[0] // h, IMAGE[1] // w))(x) if h * w < IMAGE[0] * IMAGE[1] else x)
    x = layer(parts)
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.Flatten()(x)))


def operations():
    """Without layers: on numbers, and between tensors."""
    i = keras.Input(IMAGE, name="in")
    x = L.Conv2D(3, 2, padding="same", name="c")(i)
    y = L.Conv2D(3, 2, padding="same", name="d")(i)
    x = 3 * (0.25 + -(0.75 - ((x + 0.5) * (1 / 3) / 0.5 - 0.25)))
    s = L.GlobalAveragePooling2D(keepdims=True)(y)
    x = s - (s * ((x + y) * s) - y + s)
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.Flatten()(x)))


def squeeze_excite():
    i = keras.Input(IMAGE, name="in")
    x = L.Conv2D(4, 3, padding="same", activation="relu")(i)
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    s = L.Conv2D(4, 1, activation="sigmoid")(s)
    x = L.Multiply()([x, s])
    x = L.Multiply()([s, x])
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.GlobalMaxPooling2D()(x)))


@keras.saving.register_keras_serializable(name="gelu_tanh")
def gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)


def regularized():
    return image(
        L.SeparableConv2D(3, 2, depthwise_regularizer=R.L1(0.02), pointwise_regularizer=R.L2(0.03), bias_regularizer="l2"),
        L.BatchNormalization(gamma_regularizer=R.L1L2(0.01, 0.02), beta_regularizer=R.L1(0.04)),
        L.PReLU(alpha_regularizer=R.L2(0.1)),
        L.Conv2D(3, 2, kernel_regularizer=R.L2(0.5), bias_regularizer="l1", trainable=False),
        L.Conv2D(3, 2, kernel_regularizer=R.L2(0.05), kernel_constraint=C.NonNeg()),
    )


def shared_regularized():
    i = keras.Input(IMAGE, name="in")
    shared = L.Conv2D(2, 2, padding="same", kernel_regularizer=R.L2(0.05), name="shared")
    x = L.LayerNormalization(gamma_regularizer=R.L2(0.02))(shared(shared(i)))
    return keras.Model(i, L.Dense(CLASSES, activation="softmax")(L.Flatten()(x)))


def constrained(constraint, bias=None):
    return image(L.Conv2D(4, (3, 2), kernel_constraint=constraint, bias_constraint=bias))


CASES = {
    "conv_transpose": lambda: image(L.Conv2DTranspose(4, 3)),
    "conv_transpose_same": lambda: image(L.Conv2DTranspose(4, (3, 2), strides=2, padding="same", activation="relu")),
    "conv_transpose_few": lambda: image(L.Conv2DTranspose(2, (2, 1), strides=(3, 2), use_bias=False)),
    "conv_transpose_same_few": lambda: image(L.Conv2DTranspose(2, (2, 1), strides=3, padding="same")),
    "conv_transpose_output": lambda: image(L.Conv2DTranspose(2, (3, 4), strides=(3, 2), output_padding=(1, 0))),
    "conv_transpose_same_output": lambda: image(
        L.Conv2DTranspose(2, (3, 5), strides=(3, 2), padding="same", output_padding=(2, 1)), L.BatchNormalization()
    ),
    "conv_transpose_output_even": lambda: image(L.Conv2DTranspose(2, 4, strides=2, padding="same", output_padding=1)),
    "conv_transpose_dilated": lambda: image(L.Conv2DTranspose(3, (3, 2), dilation_rate=2, padding="same")),
    "conv_transpose_dilated_valid": lambda: image(L.Conv2DTranspose(3, 2, dilation_rate=(1, 3))),
    "dense_image": lambda: image(L.Dense(5, activation="tanh"), L.Dense(2, use_bias=False)),
    "dense_sequence": lambda: sequence(L.Dense(4), L.ReLU()),
    "batch_norm_sequence": lambda: sequence(L.BatchNormalization()),
    "batch_norm_flat": lambda: image(L.Flatten(), L.BatchNormalization(center=False)),
    "batch_norm_rows": lambda: image(L.BatchNormalization(axis=1)),
    "batch_norm_columns": lambda: image(L.BatchNormalization(axis=-2), L.ReLU()),
    "layer_norm_rows": lambda: image(L.LayerNormalization(axis=1)),
    "group_norm_columns": lambda: image(L.GroupNormalization(2, axis=2)),
    "unit_norm_rows": lambda: image(L.UnitNormalization(axis=1)),
    "softmax_rows": lambda: image(L.Softmax(axis=1)),
    "softmax_columns": lambda: image(L.Softmax(axis=2), L.Conv2D(2, 2)),
    "softmax_area": lambda: image(L.Softmax(axis=[2, 3])),
    "concatenate_rows": lambda: merge(L.Concatenate(axis=1), 3),
    "concatenate_columns": lambda: merge(L.Concatenate(axis=2)),
    "up_sampling_bilinear": lambda: image(L.UpSampling2D((2, 3), interpolation="bilinear")),
    "up_sampling_bilinear_wide": lambda: image(L.UpSampling2D((5, 1), interpolation="bilinear")),
    "conv_leaky_relu": lambda: image(L.Conv2D(3, 2, activation=L.LeakyReLU(negative_slope=0.1))),
    "conv_relu_arguments": lambda: image(
        L.Conv2D(3, 2, activation=L.ReLU(max_value=0.5, negative_slope=0.25, threshold=0.125))
    ),
    "dense_elu": lambda: image(L.Flatten(), L.Dense(5, activation=L.ELU(alpha=0.5))),
    "activation_gelu_tanh": lambda: image(L.Activation(gelu_tanh)),
    "regularized": regularized,
    "shared_regularized": shared_regularized,
    "max_norm": lambda: constrained(C.MaxNorm(0.6)),
    "max_norm_filters": lambda: constrained(C.MaxNorm(0.7, axis=[0, 1, 2]), C.NonNeg()),
    "max_norm_channels": lambda: constrained(C.MaxNorm(0.3, axis=[1, 3])),
    "unit_norm_constraint": lambda: constrained(C.UnitNorm(axis=-1)),
    "min_max_norm": lambda: constrained(C.MinMaxNorm(0.5, 0.8, rate=0.75, axis=[0, 1, 2])),
    "non_neg": lambda: image(L.BatchNormalization(beta_constraint="non_neg"), L.Dense(3, kernel_constraint="non_neg")),
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
    "layer_scale": lambda: image(LayerScale(0.5, 3)),
    "unit_norm": lambda: image(L.UnitNormalization()),
    "prelu": lambda: image(L.PReLU()),
    "prelu_shared": lambda: image(L.PReLU(shared_axes=[1, 2])),
    "rescaling": lambda: image(L.Rescaling(-0.5, offset=0.25)),
    "rescaling_input": lambda: chain(IMAGE, L.Rescaling(1 / 3, offset=-1), L.Conv2D(3, 2)),
    "rescaling_plain": lambda: chain(IMAGE, L.Rescaling(0.5), L.Conv2D(3, 2)),
    "rescaling_channels": lambda: image(L.Rescaling([0.5, -1.0, 2.0], offset=[0.0, 0.25, -0.5]), L.Rescaling(2.0, offset=[1.0, 0.0, 0.5])),
    "subtract": lambda: merge(L.Subtract()),
    "multiply": lambda: merge(L.Multiply(), 3),
    "squeeze_excite": squeeze_excite,
    "add_broadcast": lambda: broadcast(L.Add(), (5, 4, 3), (1, 1, 3), (5, 4, 1), (1, 4, 1)),
    "subtract_broadcast": lambda: broadcast(L.Subtract(), (1, 1, 3), (5, 4, 3)),
    "multiply_broadcast": lambda: broadcast(L.Multiply(), (5, 1, 1), (1, 1, 3), (5, 4, 1)),
    "average_broadcast": lambda: broadcast(L.Average(), (5, 4, 3), (1, 1, 1)),
    "maximum_broadcast": lambda: broadcast(L.Maximum(), (1, 4, 3), (5, 1, 3)),
    "minimum_broadcast": lambda: broadcast(L.Minimum(), (5, 4, 1), (5, 4, 3)),
    "operations": operations,
    "initialisers": lambda: image(
        L.Conv2D(3, 2, kernel_initializer="orthogonal"), L.Dense(3, kernel_initializer=I.Identity(gain=0.5)),
        L.DepthwiseConv2D(2, depthwise_initializer=I.Orthogonal(gain=2.0)), L.Dense(2, kernel_initializer="identity"),
    ),
    "average": lambda: merge(L.Average(), 3),
    "maximum": lambda: merge(L.Maximum(), 3),
    "minimum": lambda: merge(L.Minimum()),
    "leaky_relu": lambda: image(L.LeakyReLU(negative_slope=0.1)),
    "elu": lambda: image(L.ELU(alpha=0.7)),
    "relu_threshold": lambda: image(L.ReLU(max_value=1.5, negative_slope=0.2, threshold=0.1)),
}
# Random layers whose factors leave nothing to chance: behind a convolution (gradients), and on the input.
FIXED = {
    "rotation": lambda **more: L.RandomRotation((0.1, 0.1), **more),
    "translation": lambda **more: L.RandomTranslation((0.3, 0.3), (-0.4, -0.4), **more),
}
for name, fixed in FIXED.items():
    for mode in ("reflect", "wrap", "constant", "nearest"):
        CASES[f"random_{name}_{mode}"] = lambda fixed=fixed, mode=mode: image(fixed(fill_mode=mode, fill_value=0.5))
    CASES[f"random_{name}_pixels"] = lambda fixed=fixed: chain(IMAGE, fixed(interpolation="nearest"), L.Conv2D(3, 2))
CASES["random_contrast"] = lambda: image(L.RandomContrast((0.0, 0.0), value_range=(-0.4, 0.6)))
CASES["random_contrast_input"] = lambda: chain(IMAGE, L.RandomContrast((0.0, 0.0)), L.Conv2D(3, 2))
CASES["normalization_given"] = lambda: image(L.Normalization(mean=[0.5, -1.0, 0.25], variance=[0.25, 4.0, 1.5]))
CASES["normalization_inverted"] = lambda: image(L.Normalization(mean=0.5, variance=0.25, invert=True))
CASES["normalization_weights"] = lambda: chain(IMAGE, L.Normalization(), L.Conv2D(3, 2, padding="same"))
CASES["normalization_one"] = lambda: chain(IMAGE, L.Normalization(axis=None), L.Conv2D(3, 2, padding="same"))
CASES["normalization_each"] = lambda: chain(IMAGE, L.Normalization(axis=(1, 2, 3)), L.Conv2D(3, 2, padding="same"))
ACTIVATIONS = "selu gelu silu hard_sigmoid hard_swish softplus tanh relu6 leaky_relu elu linear relu sigmoid softmax".split()
for name in ACTIVATIONS:
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
        if w.name in ("gamma", "moving_variance", "variance"):
            value = rng.uniform(0.5, 1.5, w.shape)
        weights.append(value.astype("float32"))
    model.set_weights(weights)
    for layer in model.layers:
        if isinstance(layer, L.Normalization):
            layer.finalize_state()  # or it goes on with what it was built with
    x = rng.uniform(-1, 1, (N, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, CLASSES, N).astype("int32")
    fixed = [v.value for v in model.non_trainable_variables]

    def loss_of(trainable):
        p, _, penalties = model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, p)) + sum(penalties)

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
    if any(v.constraint for v in model.trainable_variables):
        for v, g in zip(model.trainable_variables, gradients):
            after = v.value - LR * g
            numbers(out, "updated", v.constraint(after) if v.constraint else after)


def hash_name(name):
    value = 2166136261
    for letter in name.encode():
        value = (value ^ letter) * 16777619 % 2**32
    return value


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    wanted = sys.argv[1:]
    with open(os.path.join(folder, "keras_layers.txt"), "a" if wanted else "w") as out:
        for name in wanted or CASES:
            write_case(out, name, CASES[name])


if __name__ == "__main__":
    main()
