"""A checkpoint is a Keras model: the same predictions, more training there, and back again."""
import re

import keras
import numpy as np
import onnxruntime
import pytest
from interop import DATA, check_predictions, checkpoint, images, keras_losses, run, train

# Of forward passes in training mode; absolute, as some of these losses are small. 2e-6 was seen.
TOLERANCE_LOSS = 2e-5

GRAPH = """
layers:
  - Conv2D: {name: stem, filters: 12, kernel_size: 3, strides: 2, padding: same, use_bias: false}
  - BatchNormalization: {name: a}
  - Conv2D: {name: b, filters: 12, kernel_size: 3, padding: same, activation: relu}
  - Add: {name: sum, from: [a, b]}
  - DepthwiseConv2D: {name: d, kernel_size: 3, padding: same}
  - BatchNormalization: {momentum: 0.9}
  - ReLU: {name: e}
  - AveragePooling2D: {name: f, pool_size: 3, strides: 1, padding: same, from: sum}
  - Concatenate: {from: [e, f, sum]}
  - GlobalAveragePooling2D
  - Dense: {units: 10}
  - Softmax
"""


@pytest.mark.parametrize("name", ["keras-example", "lenet5-bn", "resnet20", "graph"])
def test_there_and_back(name, tmp_path):
    architecture = name
    if name == "graph":
        architecture = tmp_path / "graph.yaml"
        architecture.write_text(GRAPH)
    file = checkpoint(tmp_path, "--model", architecture, "--steps", 40, ranks=2)

    model = keras.models.load_model(file)
    check_predictions(model, file, DATA, 200)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = images("test")
    loss, accuracy = model.evaluate(x, y, verbose=0)
    hits, said = re.search(r"mean loss (\S+); (\d+) of 1000", run("cnnbn-eval", file, ranks=2)).group(2, 1)
    assert int(hits) == round(1000 * accuracy)
    run("cnnbn-convert", file, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    assert int(hits) == int((found.argmax(axis=1) == y).sum())
    assert abs(float(said) - loss) <= 1e-5 * loss

    # On in Keras ...
    x, y = images()
    history = model.fit(x[:960], y[:960], batch_size=32, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["loss"][1] < history["loss"][0]
    model.save(tmp_path / "keras.h5")
    check_predictions(model, tmp_path / "keras.h5", DATA, 200)

    # ... and back: the whole of it from the file, or its weights into the model of that name.
    steps = ["--init-from", tmp_path / "keras.h5", "--steps", 3, "--optimizer", "sgd", "--lr", 0, "--no-validation"]
    whole = train(tmp_path, "--model", tmp_path / "keras.h5", *steps)
    weights = train(tmp_path, "--model", architecture, *steps)
    theirs = keras_losses(model, keras.optimizers.SGD(0.0), x, y, 32, 3)
    assert np.max(np.abs(whole - theirs)) <= TOLERANCE_LOSS
    assert (whole == weights).all()
