"""Models described by Keras' JSON, in the dialects of Keras 2 and 3."""
import json

import h5py
import keras
import pytest
from interop import SOURCE, check_predictions, checkpoint, example, noise, train

GOLDEN = sorted((SOURCE / "tests" / "golden" / "keras_json").glob("keras*.json"))


def input_shape(text):
    """Of the first layer, in either dialect."""
    config = json.loads(text)["config"]["layers"][0]["config"]
    return (config.get("batch_shape") or config["batch_input_shape"])[1:]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path, tmp_path):
    text = path.read_text()
    n_classes = [layer["config"]["units"] for layer in json.loads(text)["config"]["layers"] if layer["class_name"] == "Dense"][-1]
    data = noise(tmp_path / "data.h5", input_shape(text), n_classes)
    file = checkpoint(tmp_path, "--model", path, "--data", data, "--steps", 3, ranks=2)
    model = keras.models.load_model(file)
    check_predictions(model, file, data, 32)
    if path.stem.startswith("keras3"):
        same = keras.models.model_from_json(text)
        same.set_weights(model.get_weights())
        check_predictions(same, file, data, 32)


def test_of_today(tmp_path):
    """model.to_json() of this Keras, the words of Keras 2 in a checkpoint, and the .h5: one model, the same bits."""
    model = example()
    model.save(tmp_path / "init.h5")
    (tmp_path / "keras3.json").write_text(model.to_json())
    steps = ["--init-from", tmp_path / "init.h5", "--steps", 5, "--no-validation"]
    file = checkpoint(tmp_path, "--model", tmp_path / "init.h5", "--steps", 1)
    with h5py.File(file) as f:
        (tmp_path / "keras2.json").write_text(f.attrs["model_config"])
    losses = [train(tmp_path, "--model", tmp_path / name, *steps) for name in ("init.h5", "keras3.json", "keras2.json")]
    assert (losses[0] == losses[1]).all() and (losses[0] == losses[2]).all()
