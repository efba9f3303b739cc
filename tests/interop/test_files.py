"""Files of other projects, both ways: Keras 3 or tf_keras, whichever is installed, and ONNX Runtime where it is.

Environment: CNNBN_BIN (folder of the programs). CNNBN_KERAS=tf_keras takes tf_keras instead of keras. KERAS_BACKEND as for Keras.
Arguments: names of models; all that follow by default. Needs numpy, h5py, keras or tf_keras; optional: onnx, onnxruntime.

For each built-in model, with random weights and moving statistics: Keras' own files are read, files written here open in Keras
with the same bits of each weight, and the logits agree within TOLERANCE of the largest.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "jax")
import h5py  # noqa: E402
import numpy as np  # noqa: E402

if os.environ.get("CNNBN_KERAS") == "tf_keras":
    import tf_keras as keras  # noqa: E402
else:
    import keras  # noqa: E402
try:
    import onnx
    import onnxruntime
except ImportError:
    onnx = None

BIN = Path(os.environ["CNNBN_BIN"])
TOLERANCE = 1e-5  # float32 sums in another order, some hundred terms deep
MODELS = (
    "keras-example lenet5 lenet5-bn allcnn vgg11-bn resnet20 resnet56 resnet18-cifar resnet18 resnet50 seq-layers graph-layers image-layers"
).split()
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1")


def run(program, *arguments, fails=None):
    command = [str(BIN / program), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT)
    if fails is not None:
        assert done.returncode == fails, f"{command} ended with {done.returncode}, expected {fails}\n{done.stderr}"
        return done.stderr
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stderr}"
    return done.stdout


def convert(*arguments):
    run("cnnbn-convert", "--force", *arguments)


def sequential_layers():
    layers = keras.layers
    parts = [layers.Conv2D(8, 3, strides=2, padding="same", activation="elu", name="first"), layers.BatchNormalization()]
    parts += [layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", dilation_rate=2), layers.LeakyReLU()]
    parts += [layers.Conv2D(12, (3, 2), groups=4, use_bias=False), layers.BatchNormalization(scale=False, epsilon=0.01)]
    parts += [layers.Activation("gelu"), layers.AveragePooling2D(3, 2, padding="same"), layers.ReLU(max_value=2.0)]
    parts += [layers.Conv2D(9, 3, padding="same", activation="tanh"), layers.MaxPooling2D(2, padding="same")]
    parts += [layers.Conv2D(6, 1, activation="silu" if keras.__version__[0] == "3" else "swish"), layers.Activation("selu")]
    parts += [layers.Conv2D(6, 1, activation="softplus"), layers.Dropout(0.5), layers.Flatten()]
    parts += [layers.Dense(16, activation="sigmoid"), layers.BatchNormalization(center=False), layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *parts])


def graph_layers():
    """A shared layer, branches of unlike depth, names that say nothing."""
    layers = keras.layers
    x = keras.Input((28, 28, 1))
    shared = layers.Conv2D(4, 3, padding="same", name="twice")
    short = layers.Conv2D(4, 1, name="zz")(x)
    a = shared(layers.Conv2D(4, 3, padding="same", name="b")(layers.Conv2D(4, 1, name="c")(x)))
    a = layers.BatchNormalization()(a)
    y = layers.Add()([short, layers.ReLU()(a)])
    y = layers.Add()([y, shared(y), short])
    z = layers.Conv2D(5, 3, padding="same", use_bias=False, name="a")(y)
    z = layers.Concatenate()([z, y, layers.MaxPooling2D(3, 1, padding="same")(x)])
    z = layers.Reshape((14, 28, 20))(z)
    z = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 2)(z))
    return keras.Model(x, layers.Dense(10)(z))


def image_layers():
    """Random in training, nothing in inference; normalised by arguments and by weights."""
    layers = keras.layers
    parts = [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, (-0.2, 0.1), fill_mode="nearest")]
    parts += [layers.Normalization(mean=0.3, variance=0.2), layers.RandomRotation(0.1, fill_mode="constant", fill_value=0.5)]
    parts += [layers.Conv2D(8, 3, activation="relu"), layers.RandomContrast(0.2), layers.Normalization()]
    parts += [layers.Conv2D(8, 3, strides=2), layers.RandomFlip(), layers.Flatten(), layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *parts])


def build(name, folder):
    if name == "image-layers":
        return image_layers()
    if name == "seq-layers":
        return sequential_layers()
    if name == "graph-layers":
        return graph_layers()
    path = folder / "model.json"
    convert(name, path)
    config = json.loads(path.read_text())
    last = config["config"]["layers"][-1]
    if last["class_name"] == "Softmax":
        last["class_name"], last["config"] = "Activation", {"name": last["config"]["name"], "activation": "softmax"}
    assert last["config"]["activation"] == "softmax", last
    last["config"]["activation"] = "linear"  # logits tell more than probabilities
    return keras.models.model_from_json(json.dumps(config))


def randomise(model, x, seed):
    """Weights of a size that keeps the activations so, and moving statistics that are not 0 and 1."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = layer.get_weights()
        if "BatchNormalization" in type(layer).__name__:
            new = [rng.uniform(0.5, 1.5, w.shape) if i in (0, len(weights) - 1) else rng.normal(0, 0.1, w.shape) for i, w in enumerate(weights)]
        else:
            new = [rng.normal(0, 1, w.shape) * np.sqrt(1.5 / max(1, np.prod(w.shape[:-1]))) if w.ndim > 1 else rng.normal(0, 0.1, w.shape) for w in weights]
        if type(layer).__name__ == "Normalization" and weights:
            new = [rng.uniform(0.2, 1.5, w.shape) for w in weights[:2]] + [np.array(60000)]
        layer.set_weights([w.astype("float32") for w in new])
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()
    return model.predict(x, verbose=0)


def difference(what, found, expected, tolerance=TOLERANCE):
    assert found.shape == expected.shape and np.isfinite(found).all(), what
    worst = float(np.abs(found - expected).max() / np.abs(expected).max())
    assert worst <= tolerance, f"{what}: {worst:.2e} of the largest logit"
    return worst


def same_weights(what, found, expected):
    """By name: a model built anew may list its layers in another order."""
    for layer in expected.layers:
        for a, b in zip(found.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            assert np.array_equal(a, b), f"{what}: {layer.name}"


def predicted_here(path, x, folder):
    """cnnbn-predict's probabilities of all classes."""
    data = folder / "x.h5"
    with h5py.File(data, "w") as f:
        for split in ("train", "test"):
            f["x_" + split] = x
            f["y_" + split] = np.arange(len(x)) % 10
    out = np.zeros((len(x), 10))
    for line in run("cnnbn-predict", "--csv", "--top=10", path, data).splitlines()[1:]:
        fields = line.split(",")
        for k in range(1, len(fields), 3):
            out[int(fields[0]), int(fields[k])] = float(fields[k + 2])
    return out


def logits_here(path, x, folder, logits):
    """Logits out of cnnbn-predict's probabilities, which tell them but for a sum; those of the least probable are left as they are."""
    p = predicted_here(path, x, folder)
    found = np.log(np.maximum(p, 1e-30))
    found += (logits - found).max(axis=1, keepdims=True, where=p == p.max(axis=1, keepdims=True), initial=-np.inf)
    return np.where(p > 1e-6, found, logits)


def through_onnx(path, x):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def check(name, folder, seed):
    model = build(name, folder)
    x = np.random.default_rng(seed + 1).uniform(0, 1, (6, *model.input_shape[1:])).astype("float32")
    logits = randomise(model, x, seed)
    theirs = {ending: folder / ("theirs" + ending) for ending in (".keras", ".h5", ".weights.h5")}
    model.save(theirs[".keras"])
    model.save(theirs[".h5"])
    model.save_weights(theirs[".weights.h5"])
    told = {}
    for ending, path in theirs.items():
        with_model = ["--model", theirs[".keras"]] if ending == ".weights.h5" else []
        for to in (".keras", ".h5"):
            ours = folder / ("ours" + to)
            convert(*with_model, path, ours)
            again = keras.models.load_model(ours, compile=False)
            same_weights(f"{name}: {ending} -> {to}", again, model)
            difference(f"{name}: {ending} -> {to}", again.predict(x, verbose=0), logits, 1e-6)
        convert(*with_model, path, folder / "ours.weights.h5")
        again.set_weights([0 * w for w in again.get_weights()])
        again.load_weights(folder / "ours.weights.h5")
        same_weights(f"{name}: {ending} -> .weights.h5", again, model)
        told["cnnbn"] = difference(f"{name}: cnnbn-predict", logits_here(folder / "ours.keras", x, folder, logits), logits)
        if onnx:
            convert(*with_model, path, folder / "ours.onnx")
            told["ONNX"] = difference(f"{name}: ONNX", through_onnx(folder / "ours.onnx", x), logits)
            convert("--fold-bn", *with_model, path, folder / "folded.onnx")
            told["ONNX folded"] = difference(f"{name}: folded", through_onnx(folder / "folded.onnx", x), logits)
    convert(theirs[".keras"], folder / "ours.json")
    convert(theirs[".keras"], folder / "ours.yaml")
    convert(folder / "ours.yaml", folder / "again.json")
    for text in ("ours.json", "again.json"):
        again = keras.models.model_from_json((folder / text).read_text())
        again.load_weights(folder / "ours.weights.h5")
        difference(f"{name}: {text}", again.predict(x, verbose=0), logits, 1e-6)
    print(f"{name:16}", " ".join(f"{k} {v:.1e}" for k, v in told.items()), flush=True)


def check_nested(folder):
    """Models inside a model: with two inputs and called twice, a frozen one, one in another. Written flat, with the same logits."""
    L = keras.layers
    a, b = keras.Input((6, 5, 3)), keras.Input((6, 5, 3))
    x = L.BatchNormalization(name="same_name")(L.Conv2D(3, 3, padding="same")(a))
    pair = keras.Model([a, b], L.Add()([x, L.Conv2D(3, 1)(b)]), name="pair")
    seq = keras.Sequential([keras.Input((6, 5, 3)), L.Conv2D(3, 2, padding="same"), L.BatchNormalization(name="same_name")], name="seq")
    i = keras.Input((6, 5, 3))
    deep = keras.Model(i, L.Conv2D(3, 1)(seq(seq(i))), name="deep")
    frozen = keras.Sequential([keras.Input((6, 5, 3)), L.Conv2D(4, 3), L.BatchNormalization()], name="frozen")
    frozen.trainable = False
    i = keras.Input((6, 5, 3))
    x = L.Conv2D(3, 3, padding="same")(i)
    x = frozen(deep(pair([pair([x, i]), x])))
    model = keras.Model(i, L.Dense(10)(L.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.2, 1, w.shape) * (rng.integers(0, 2, w.shape) * 2 - 1 if w.ndim > 1 else 1) for w in model.get_weights()])
    x = rng.uniform(-1, 1, (4, 6, 5, 3)).astype("float32")
    logits = model.predict(x, verbose=0)
    for ending in (".keras", ".h5", ".weights.h5"):
        path = folder / ("theirs" + ending)
        (model.save_weights if ending == ".weights.h5" else model.save)(path)
        with_model = ["--model", folder / "theirs.keras"] if ending == ".weights.h5" else []
        for to in (".keras", ".h5"):
            convert(*with_model, path, folder / ("ours" + to))
            again = keras.models.load_model(folder / ("ours" + to), compile=False)
            difference(f"nested: {ending} -> {to}", again.predict(x, verbose=0), logits, 1e-6)
    print("nested", flush=True)


def main():
    print(f"{keras.__name__} {keras.__version__},", f"onnxruntime {onnxruntime.__version__}" if onnx else "no onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        check_nested(Path(folder))
    for i, name in enumerate(sys.argv[1:] or MODELS):
        keras.backend.clear_session()
        with tempfile.TemporaryDirectory() as folder:
            check(name, Path(folder), i)


main()
