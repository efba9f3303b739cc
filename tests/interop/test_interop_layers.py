"""Every type of layer beside Keras 3 (the newest and 3.3.3), tf_keras and ONNX Runtime, in every file format; and its gradient.

A case is a small model out of tests/golden/make_keras_layers.py, or one of BASIC below.
"""
import os

os.environ["KERAS_BACKEND"] = "jax"  # differentiates everything on a CPU, grouped convolutions too
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # most of the time is XLA's
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)  # gradients are compared with those of double precision
import matrix  # noqa: E402
import pytest  # noqa: E402
from matrix import golden, keras  # noqa: E402

L = keras.layers

# Sequences come as images of one channel, as datasets hold images.
SEQUENCE = (*golden.SEQUENCE, 1)
plain_chain = golden.chain


def chain(shape, *layers):
    return plain_chain(SEQUENCE, L.Reshape(shape), *layers) if shape == golden.SEQUENCE else plain_chain(shape, *layers)


golden.chain = chain
image, merge = golden.image, golden.merge

BASIC = {
    "conv2d": lambda: image(L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")),
    "conv2d_groups": lambda: image(L.Conv2D(6, 2, groups=2, dilation_rate=2, use_bias=False), filters=4),
    "depthwise": lambda: image(L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="tanh")),
    "batch_norm": lambda: image(L.BatchNormalization(epsilon=1e-4), L.ReLU()),
    "batch_norm_folded": lambda: image(L.Conv2D(4, 2, use_bias=False), L.BatchNormalization(), L.Flatten(), L.Dense(5), L.BatchNormalization(scale=False)),
    "dense": lambda: image(L.Flatten(), L.Dense(6, activation="sigmoid")),
    "reshape": lambda: image(L.Reshape((10, 6)), L.Conv1D(3, 2)),
    "max_pooling2d": lambda: image(L.MaxPooling2D((2, 3), strides=2, padding="same")),
    "average_pooling2d": lambda: image(L.AveragePooling2D(3, strides=2, padding="same")),
    "global_average_pooling2d": lambda: image(L.GlobalAveragePooling2D()),
    "softmax": lambda: image(L.Softmax()),
    "add": lambda: merge(L.Add(), 3),
    "concatenate": lambda: merge(L.Concatenate(), 3),
    "dropout": lambda: image(L.Dropout(0.5), L.SpatialDropout2D(0.3), L.GaussianNoise(0.2)),
    "random_flip": lambda: image(L.RandomFlip(), L.RandomFlip("vertical")),
    # Of the whole image: where it is larger, Keras 3.15 predicts from all of it, others from a window that is made larger.
    "random_crop": lambda: image(L.RandomCrop(5, 4)),
    "dropout_noise_shape": lambda: image(L.Dropout(0.5, noise_shape=(None, 1, 1, 1)), L.Dropout(0.3, noise_shape=(None, None, 1, 3))),
}
CASES = golden.CASES | BASIC


def gradients_of(build, model, x, y):
    double = matrix.double_of(build, model)
    fixed = [v.value for v in double.non_trainable_variables]

    def loss_of(trainable):
        p, _, penalties = double.stateless_call(trainable, fixed, x.astype("float64"), training=True, return_losses=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, p)) + sum(penalties)

    return jax.jit(jax.grad(loss_of))([v.value for v in double.trainable_variables])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.parametrize("name", CASES)
def test_case(name, folder):
    matrix.check_case(name, folder, CASES[name], gradients_of)


@pytest.mark.parametrize("reader", matrix.READERS)
def test_other_readers(reader, folder):
    matrix.check_reader(reader, folder)


def test_table():
    kinds = sorted({kind for kinds in matrix.shown.values() for kind in kinds})
    matrix.write_table("layer", {kind: [name for name in matrix.shown if kind in matrix.shown[name]] for kind in kinds})
