#!/usr/bin/env python3
"""Writes keras_json/keras3_*.json: model.to_json() of small models, by Keras 3 (3.15 when they were made).

    pip install keras==3.15.* jax && KERAS_BACKEND=jax python make_keras_json.py
    pip install tf_keras && TF_USE_LEGACY_KERAS=1 python make_keras_json.py       # keras2_nested.json and _operations, by Keras 2's line

With files as arguments it opens each as Keras opens the model_config of an .h5 file and prints its number of parameters
and its output shape: the check that what cnnbn writes is taken. (keras.models.model_from_json of Keras 3 takes only Keras
3's own dialect.)
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
if os.environ.get("TF_USE_LEGACY_KERAS"):
    import tf_keras as keras
else:
    import keras  # noqa: E402
    from keras.src.legacy.saving import saving_utils  # noqa: E402
L = keras.layers


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
        ],
        name="example",
    )


def every_layer():
    x = i = keras.Input((16, 12, 3), name="picture")
    x = L.Conv2D(8, (3, 5), strides=(2, 1), padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = L.BatchNormalization(momentum=0.9, epsilon=1e-5, scale=False)(x)
    x = L.ReLU(max_value=6.0)(x)
    x = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = L.LeakyReLU(negative_slope=0.1)(x)
    x = L.Conv2D(16, 3, dilation_rate=2, groups=4, padding="same", activation="gelu")(x)
    x = L.BatchNormalization(center=False, trainable=False)(x)
    x = L.ELU(alpha=0.5)(x)
    a = L.MaxPooling2D(2, padding="same", name="a")(x)
    b = L.AveragePooling2D((3, 3), strides=2, padding="same", name="b")(x)
    c = L.Concatenate(name="c")([a, b])
    d = L.Conv2D(32, 1, activation="silu", kernel_initializer=keras.initializers.RandomNormal(stddev=0.1))(c)
    x = L.Add()([c, d, c])
    x = L.Activation("swish")(x)
    x = L.Dropout(0.25)(x)
    x = L.GlobalAveragePooling2D(keepdims=True)(x)
    x = L.Flatten()(x)
    x = L.Reshape((4, -1))(x)
    x = L.Flatten()(x)
    x = L.Dense(12, activation="tanh", bias_initializer=keras.initializers.Constant(0.5))(x)
    x = L.Dense(7)(x)
    x = L.Softmax()(x)
    return keras.Model(i, x, name="every_layer")


def shared():
    i = keras.Input((8, 8, 4))
    conv = L.Conv2D(4, 3, padding="same", name="twice")
    x = conv(i)
    y = conv(x)
    x = L.Add()([x, y])
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(i, L.Dense(3, activation="softmax")(x), name="shared")


def nested():
    """Models inside models: one of two inputs, called twice; one in another, called twice; a Sequential one."""
    a, b = keras.Input((6, 5, 3), name="ia"), keras.Input((6, 5, 3), name="ib")
    x = L.BatchNormalization(name="n")(L.Conv2D(3, 3, padding="same", name="c")(a))
    pair = keras.Model([a, b], L.Add(name="s")([x, L.Conv2D(3, 1, name="d")(b)]), name="pair")
    seq = keras.Sequential(
        [keras.Input((6, 5, 3)), L.Conv2D(3, 2, padding="same"), L.BatchNormalization(), L.ReLU()], name="seq"
    )
    i = keras.Input((6, 5, 3))
    deep = keras.Model(i, L.Conv2D(3, 1)(seq(seq(i))), name="deep")
    i = keras.Input((6, 5, 3), name="in")
    x = L.Conv2D(3, 3, padding="same", name="first")(i)
    y = pair([x, i])
    x = deep(pair([y, x]))
    x = keras.Sequential([keras.Input((6, 5, 3)), L.Conv2D(4, 3), L.BatchNormalization()], name="tail")(x)
    x = L.Dense(4, activation="softmax", name="out")(L.GlobalAveragePooling2D()(x))
    return keras.Model(i, x, name="outer")


def operations():
    """Without layers: on numbers, and between tensors."""
    i = keras.Input((6, 5, 3), name="in")
    x = L.Conv2D(4, 2, padding="same", name="c")(i)
    x = 3 * (0.25 + -(2 - ((x + 3.0) * (1 / 6) / 2 - 0.5)))
    y = L.Conv2D(4, 2, padding="same", name="d")(i)
    s = L.GlobalAveragePooling2D(keepdims=True)(y)
    x = s - (s * ((x + y) * s) - y + s)
    return keras.Model(i, L.Dense(4, activation="softmax")(L.Flatten()(x)), name="operations")


def main():
    if len(sys.argv) > 1:
        for path in sys.argv[1:]:
            with open(path) as f:
                model = saving_utils.model_from_config(json.load(f))
            print(os.path.basename(path), model.count_params(), model.output_shape)
        return
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keras_json")
    line = 3 if keras.__version__ >= "3" else 2
    for make in (example, every_layer, shared, nested, operations) if line == 3 else (nested, operations):
        with open(os.path.join(folder, f"keras{line}_{make.__name__}.json"), "w") as f:
            f.write(make().to_json())
        print(make.__name__, make().count_params())


main()
