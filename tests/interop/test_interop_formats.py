"""The example model and a Functional one into and out of every file format: the table of docs/convert.md."""
import os
import subprocess

os.environ["KERAS_BACKEND"] = "jax"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import pytest  # noqa: E402
from interop import BIN, example  # noqa: E402

L = keras.layers
TOLERANCE = 1e-5  # of the largest logit: float32 sums in another order
WITH_WEIGHTS = [".h5", ".keras", ".weights.h5"]
TEXTS = [".yaml", ".json"]
ENDINGS = [*WITH_WEIGHTS, *TEXTS, ".onnx"]


def functional():
    """A shared layer, branches of unlike depth, names that say nothing."""
    x = keras.Input((28, 28, 1))
    shared = L.Conv2D(4, 3, padding="same", name="twice")
    short = L.Conv2D(4, 1, name="zz")(x)
    a = shared(L.Conv2D(4, 3, padding="same", name="b")(L.Conv2D(4, 1, name="c")(x)))
    a = L.BatchNormalization()(a)
    y = L.Add()([short, L.ReLU()(a)])
    y = L.Add()([y, shared(y), short])
    z = L.Conv2D(5, 3, padding="same", use_bias=False, name="a")(y)
    z = L.Concatenate()([z, y, L.MaxPooling2D(3, 1, padding="same")(x)])
    z = L.Reshape((14, 28, 20))(z)
    z = L.GlobalAveragePooling2D()(L.Conv2D(7, 2)(z))
    return keras.Model(x, L.Dense(10)(z))


def nested():
    """Models inside the model, of two inputs and outputs, called twice, one inside the other."""
    a, b = keras.Input((28, 28, 1), name="a"), keras.Input((28, 28, 2), name="b")
    up = L.UpSampling2D(2, interpolation="bilinear")(L.Conv2D(3, 3, strides=2, padding="same", name="small")(b))
    down = L.Conv2DTranspose(2, 3, strides=2, padding="same")(L.AveragePooling2D(2)(L.Concatenate()([a, b])))
    pair = keras.Model([a, b], [L.LayerNormalization(axis=1)(up), down], name="pair")
    core = keras.Sequential([keras.Input((28, 28, 3)), L.BatchNormalization(axis=2), L.Conv2D(4, 3, strides=2)], name="core")
    tower = keras.Sequential([keras.Input((28, 28, 3)), core, L.ELU(), L.GroupNormalization(2)], name="tower")
    x = keras.Input((28, 28, 1))
    one, other = pair([x, L.Conv2D(2, 1, name="first")(x)])
    two, more = pair([x, other])
    y = L.Add()([tower(one), tower(two)])
    return keras.Model(x, L.Dense(10)(L.Concatenate()([L.Flatten()(y), L.Flatten()(more)])))


def unused():
    """Models inside the model, of whose outputs some are not used: in one call, in no call, and what only leads there."""
    a, b = keras.Input((28, 28, 1), name="a"), keras.Input((28, 28, 2), name="b")
    first = L.Conv2D(3, 3, padding="same", name="one")(a)
    spare = L.Conv2D(2, 3, name="two", trainable=False)(L.BatchNormalization(name="norm")(b))
    both = L.Conv2D(3, 1, name="three")(L.Concatenate()([a, b]))
    three = keras.Model([a, b], [L.ReLU()(first), spare, both], name="three_outputs")
    inner = keras.Input((28, 28, 3))
    deep = keras.Sequential([inner, L.BatchNormalization(), L.Conv2D(3, 1)], name="deep")
    pair = keras.Model(inner, [deep(inner), L.Conv2D(3, 2, name="last")(inner)], name="pair")
    x = keras.Input((28, 28, 1))
    one, _, both = three([x, L.Conv2D(2, 1, name="before")(x)])
    _, last = pair(L.Add()([one, both]))
    again, _, _ = three([x, L.Conv2D(2, 1, name="for_nobody")(x)])
    y = L.Concatenate()([L.Flatten()(last), L.Flatten()(again)])
    return keras.Model(x, L.Dense(10)(y))


def example_logits():
    model = example()
    model.layers[-1].activation = keras.activations.linear
    return model


MODELS = {"example": example_logits, "functional": functional, "nested": nested, "unused": unused}
NESTED = {"nested", "unused"}


def convert(*arguments, fails=None):
    done = subprocess.run([str(BIN / "cnnbn-convert"), "--force", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if fails:
        assert done.returncode == 2 and fails in done.stderr, f"{arguments}: {done.returncode} {done.stderr}"
    else:
        assert done.returncode == 0, f"{arguments}: {done.stderr}"


def digest(path):
    return subprocess.run([str(BIN / "cnnbn-info"), "--digest", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]


@pytest.fixture(scope="module", params=MODELS)
def source(request, tmp_path_factory):
    """Keras' own files of a model with random weights, three images and their logits."""
    folder = tmp_path_factory.mktemp(request.param)
    model = MODELS[request.param]()
    rng = np.random.default_rng(5)
    model.set_weights([(rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else rng.normal(0, 0.2, w.shape)).astype("float32") for w in model.get_weights()])
    model.save(folder / "theirs.keras")
    model.save(folder / "theirs.h5")
    model.save_weights(folder / "theirs.weights.h5")
    (folder / "theirs.json").write_text(model.to_json())
    convert(folder / "theirs.json", folder / "theirs.yaml")
    # What is written of a nested model is the flat one, whose weights have other places.
    flat = request.param in NESTED
    convert(folder / "theirs.json", folder / "flat.json")
    convert(folder / "theirs.keras", folder / "flat.weights.h5")
    (folder / "text.json").write_text((folder / f"{'flat' if flat else 'theirs'}.json").read_text())
    (folder / "text.weights.h5").write_bytes((folder / f"{'flat' if flat else 'theirs'}.weights.h5").read_bytes())
    x = rng.uniform(0, 1, (3, 28, 28, 1)).astype("float32")
    return request.param, folder, model, x, np.asarray(model(x))


def logits(path, folder, x):
    """What a file of any kind computes; a text with the weights that Keras wrote."""
    ending = next(e for e in [".weights.h5", *ENDINGS] if path.name.endswith(e))
    if ending == ".onnx":
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})[0]
    if ending in (".h5", ".keras"):
        return np.asarray(keras.models.load_model(path, compile=False)(x))
    weights = path if ending == ".weights.h5" else folder / "text.weights.h5"
    text = folder / "text.json" if ending == ".weights.h5" else path
    if ending == ".yaml":
        text = path.with_suffix(".read.json")
        convert(path, text)
    model = keras.models.model_from_json(text.read_text())
    model.load_weights(weights)
    return np.asarray(model(x))


def test_pairs(source):
    name, folder, _, x, expected = source
    scale = np.abs(expected).max()
    print(f"\n| {name}, from | " + " | ".join(ENDINGS) + " |")
    print("|---" * (1 + len(ENDINGS)) + "|")
    for start in [*WITH_WEIGHTS, *TEXTS]:
        cells = []
        for to in ENDINGS:
            whose = ["--model", folder / "theirs.json"] if start == ".weights.h5" else []
            out = folder / f"from{start.replace('.', '-')}{to}"
            if start in TEXTS and to not in TEXTS:
                convert(folder / f"theirs{start}", out, fails="holds no weights")
                cells.append("-")
                continue
            convert(*whose, folder / f"theirs{start}", out)
            off = float(np.abs(logits(out, folder, x) - expected).max() / scale)
            assert off <= TOLERANCE, f"{start} -> {to}: {off}"
            cells.append(f"{off:.1e}" if off else "0")
        print(f"| {start} | " + " | ".join(cells) + " |")
    convert(folder / "from-keras.onnx", folder / "back.keras", fails="written, not read")


def test_in_a_ring(source):
    """Through all formats that hold weights, one after the other, without the loss of a bit."""
    name, folder, model, x, expected = source
    convert(folder / "theirs.keras", folder / "ring-1.h5")
    convert(folder / "ring-1.h5", folder / "ring-2.weights.h5")
    convert("--model", folder / "theirs.json", folder / "ring-2.weights.h5", folder / "ring-3.keras")
    convert(folder / "ring-3.keras", folder / "ring-4.h5")
    digests = [digest(folder / f"ring-{k}.h5") for k in (1, 4)]
    assert digests[0] == digests[1]
    last = keras.models.load_model(folder / "ring-4.h5", compile=False)
    assert np.abs(np.asarray(last(x)) - expected).max() <= TOLERANCE * np.abs(expected).max()
    for layer in model.layers if name not in NESTED else []:  # whose layers have other names there
        for a, b in zip(last.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            assert np.array_equal(a, b), layer.name
