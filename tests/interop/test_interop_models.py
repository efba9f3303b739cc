"""Every built-in model beside Keras 3 (the newest and 3.3.3), tf_keras and ONNX Runtime, in every file format; the gradient of the example."""
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"  # compiles nothing: most of jax' time went there
sys.modules["tensorflow"] = None  # Keras takes seconds to look at it, and needs it for layers of preprocessing only
import matrix  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from matrix import keras  # noqa: E402

torch.set_num_threads(1)

BUILT_IN = (
    "keras-example lenet5 lenet5-bn allcnn vgg11-bn vgg16-bn resnet20 resnet32 resnet44 resnet56 resnet110 resnet18 resnet34 resnet50 "
    "resnet18-cifar mobilenet-v1 mobilenet-v2 densenet40-12 wrn-16-4 convmixer"
).split()


def gradients_of(build, model, x, y):
    double = matrix.double_of(build, model)
    loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, double(x.astype("float64"), training=True)))
    loss.backward()
    return [v.value.grad.numpy() for v in double.trainable_variables]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.parametrize("name", BUILT_IN)
def test_case(name, folder):
    def build():
        path = folder / f"{name}.json"
        matrix.run("cnnbn-convert", "--force", name, path)
        return keras.models.model_from_json(path.read_text())

    matrix.check_case(name, folder, build, gradients_of if name == "keras-example" else None, matrix.undecided)


@pytest.mark.parametrize("reader", matrix.READERS)
def test_other_readers(reader, folder):
    matrix.check_reader(reader, folder)


def test_table():
    matrix.write_table("built-in model", {name: [name] for name in matrix.rows})
