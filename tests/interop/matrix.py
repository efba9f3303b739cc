"""What the tests of layers and of built-in models share: a model with random weights, made by Keras 3, into every file format and back,
beside Keras 3 (the newest and 3.3.3), tf_keras and ONNX Runtime.

Compared are the logarithms of the probabilities of three images; a difference is told over the largest of them. The gradient is one
step of SGD beside Keras' gradient in double precision. A test writes its part of the table of docs/interop.md to CNNBN_TABLE, where
that is set. The caller has chosen the backend of Keras before.
"""
import json
import os
import subprocess
import sys

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from interop import BIN, SOURCE  # noqa: E402

sys.path.insert(0, str(SOURCE / "tests" / "golden"))
import make_keras_layers as golden  # noqa: E402

TOLERANCE = 1e-5  # float32 sums in another order, some hundred terms deep; built-in models: 110 layers deep
TOLERANCE_GRADIENT = 2e-5
LR = 64.0  # large, so that the difference of two weights tells the gradient
N = 3

# The weights are given, and a backend that compiles would compile each shape of a random number.
keras.initializers.GlorotUniform.__call__ = lambda self, shape, dtype=None: np.zeros(shape, dtype)
keras.initializers.Zeros.__call__ = lambda self, shape, dtype=None, **_: np.zeros(shape, dtype)
keras.initializers.Ones.__call__ = lambda self, shape, dtype=None: np.ones(shape, dtype)

RANDOM = {"Dropout", "SpatialDropout2D", "GaussianNoise", "RandomFlip"}
CUSTOM = {"gelu_tanh": golden.gelu_tanh}

# What another reader cannot do with a file that is right.
NO_WORD = "a function of the user's own in Keras"
CANNOT = {
    "Keras 3.3.3": {
        "activation_gelu_tanh": NO_WORD,
        "normalization_inverted": "wants as many numbers as channels",
        "conv_transpose_output": "wants an output_padding above 0",
        "random_contrast": "has no value_range",
        **dict.fromkeys(["conv_leaky_relu", "conv_relu_arguments", "dense_elu"], "takes no layer as an activation"),
    },
    "tf_keras": {
        "activation_gelu_tanh": NO_WORD,
        "activation_hard_sigmoid": "another function in Keras 2",
        "activation_hard_swish": "not known to Keras 2",
        "random_contrast": "has no value_range",
        "random_contrast_input": "wants a factor above 0",
        "layer_scale": "finds no layer outside keras.layers",
        "conv_transpose_dilated_valid": "wants one dilation for both axes",
    },
}
# What it does not save as it is.
DOES_NOT_SAVE = {
    "Keras 3.3.3": lambda name, kind: (name.startswith("random_") and kind == ".h5")  # TypeError: cannot pickle 'module' object
    or (name == "dropout_noise_shape" and kind == ".h5")  # the same: it makes an object of its own of the list
    or name == "conv_transpose_output_even",  # get_config() leaves output_padding out
    "tf_keras": lambda name, kind: False,
}
rows, shown = {}, {}


def run(program, *arguments):
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1")
    command = [str(BIN / program), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def set_weights(model, values):
    model.set_weights(values)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # or it goes on with what it was built with


def randomise(model, seed):
    """Of a size that keeps the activations so; moving statistics that are not 0 and 1."""
    rng = np.random.default_rng(seed)
    values = []
    for w in model.weights:
        if w.name in ("gamma", "moving_variance", "variance"):
            value = rng.uniform(0.5, 1.5, w.shape)
        elif w.name.endswith("kernel"):
            # a depthwise kernel sums over its window alone
            fan = np.prod(w.shape[:2]) if w.name.startswith("depthwise") else np.prod(w.shape[:-1])
            value = rng.normal(0, 1, w.shape) * np.sqrt(1.5 / fan)
        else:
            value = rng.normal(0, 0.1, w.shape)
        values.append(value.astype("float32"))
    set_weights(model, values)


def value_of(tensor):
    """As an array of numpy, of whatever backend."""
    return keras.ops.convert_to_numpy(tensor)


def double_of(build, model):
    """The same model in double precision."""
    keras.config.set_dtype_policy("float64")
    try:
        double = build()
        set_weights(double, [value_of(w) for w in model.weights])
    finally:
        keras.config.set_dtype_policy("float32")
    return double


def undecided(model, x):
    """Predictions, the last layer's weights made so small that none comes near 0 or 1, where a difference would not show."""
    last = [layer for layer in model.layers if layer.weights][-1]
    while True:
        expected = value_of(model(x, training=False))
        assert np.isfinite(expected).all()
        if expected.max() < 0.9 and expected.min() > 1e-5:
            return expected
        last.set_weights([w / 2 for w in last.get_weights()])


def difference(found, expected):
    assert found.shape == expected.shape and np.isfinite(found).all()
    a, b = np.log(np.maximum(found, 1e-30)), np.log(np.maximum(expected, 1e-30))
    return float(np.max(np.abs(a - b), where=expected > 1e-6, initial=0) / np.max(np.abs(b)))


def predicted(path, data, n_classes):
    p = np.zeros((N, n_classes))
    for line in run("cnnbn-predict", "--csv", f"--top={n_classes}", path, data).splitlines()[1:]:
        fields = line.split(",")
        for k in range(1, len(fields), 3):
            p[int(fields[0]), int(fields[k])] = float(fields[k + 2])
    return p


def through_onnx(path, x):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def weights_of(path, model):
    """Of an .h5 file, in the order of the model's variables: {layer and name: value}."""
    found = {}
    with h5py.File(path) as f:
        for layer in model.layers:
            group = f["model_weights"][layer.name] if layer.weights else {}
            names = group.attrs["weight_names"] if layer.weights else []
            for variable, name in zip(layer.weights, names, strict=True):
                found[variable.path] = group[name][()]
    return found


def gradient_difference(gradients, model, start, data, folder):
    """One step of SGD here and there, constraints included: of the largest change of a weight tensor."""
    run("cnnbn-train", "--model", start, "--init-from", start, "--data", data, "--steps=1", f"--batch-size={N}", "--optimizer=sgd",
        f"--lr={LR}", "--no-shuffle", "--no-validation", f"--checkpoint-dir={folder / 'run'}")  # fmt: skip
    after = weights_of(max((folder / "run").glob("ckpt-*.h5")), model)
    pairs = []
    for v, g in zip(model.trainable_variables, gradients, strict=True):
        expected = value_of(v) - LR * np.asarray(g)
        expected = value_of(v.constraint(expected)) if v.constraint else expected
        pairs.append((np.max(np.abs(after[v.path] - expected)), np.max(np.abs(expected - value_of(v))), v.path))
    # A gradient may be zero but for rounding, such as that of a bias in front of a batch norm: it is compared with the others'.
    least = 0.1 * max(change for _, change, _ in pairs)
    detail = " ".join(f"{path} {off:.1e} of {change:.1e}" for off, change, path in pairs)
    return float(max(off / max(change, least) for off, change, _ in pairs)), detail


def labels_of(model):
    names = set()
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Activation":
            kind = f"Activation {layer.activation.__name__}"
        if kind != "InputLayer":
            names.add(kind)
    return names


def note(name, column, value):
    rows[name][column] = value


def check_case(name, folder, build, gradients_of=None, predict=lambda model, x: value_of(model(x, training=False))):
    """Everything about one model. gradients_of(build, model, x, y): those of Keras, where they are compared."""
    keras.backend.clear_session(free_memory=False)
    here = folder / name
    here.mkdir()
    model = build()
    randomise(model, golden.hash_name(name))
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (N, *model.input_shape[1:])).astype("float32")
    n_classes = model.output_shape[-1]
    y = (np.arange(N) % n_classes).astype("int32")
    expected = predict(model, x)
    np.savez(here / "expected.npz", x=x, p=expected)
    data = here / "data.h5"
    with h5py.File(data, "w") as f:
        for split in ("train", "test"):
            f["x_" + split], f["y_" + split] = x, y
        f.attrs["class_names"] = [str(k) for k in range(n_classes)]
    rows[name], shown[name] = {}, labels_of(model)

    theirs = {ending: here / ("theirs" + ending) for ending in (".keras", ".h5", ".weights.h5")}
    model.save(theirs[".keras"])
    model.save(theirs[".h5"])
    model.save_weights(theirs[".weights.h5"])
    bits = {v.path: value_of(v) for v in model.variables if "seed_generator" not in v.path}
    for ending, path in theirs.items():
        whose = ["--model", theirs[".keras"]] if ending == ".weights.h5" else []
        ours = here / f"ours{ending.replace('.', '-')}.h5"
        run("cnnbn-convert", *whose, path, ours)
        found = weights_of(ours, model)
        for key, value in bits.items():
            assert np.array_equal(found[key], value), f"{ending}: {key}"
    start = here / "ours-keras.h5"
    for ending in (".keras", ".weights.h5", ".onnx", ".yaml", ".json"):
        run("cnnbn-convert", start, here / ("ours" + ending))
    run("cnnbn-convert", "--fold-bn", start, here / "folded.onnx")
    note(name, "forward", difference(predicted(start, data, n_classes), expected))
    note(name, "ONNX", difference(through_onnx(here / "ours.onnx", x), expected))
    note(name, "folded", difference(through_onnx(here / "folded.onnx", x), expected))
    worst = 0.0
    for again in (here / "ours.keras", start):
        loaded = keras.models.load_model(again, compile=False, custom_objects=CUSTOM)
        worst = max(worst, difference(value_of(loaded(x, training=False)), expected))
    from_text = keras.models.model_from_json((here / "ours.json").read_text(), custom_objects=CUSTOM)
    from_text.load_weights(here / "ours.weights.h5")
    worst = max(worst, difference(value_of(from_text(x, training=False)), expected))
    note(name, f"Keras {keras.__version__}", worst)
    detail = ""
    if gradients_of and not shown[name] & RANDOM:
        worst, detail = gradient_difference(gradients_of(build, model, x, y), model, start, data, here)
        note(name, "gradient", worst)
    limits = {column: TOLERANCE_GRADIENT if column == "gradient" else TOLERANCE for column in rows[name]}
    beyond = {column: value for column, value in rows[name].items() if value > limits[column]}
    assert not beyond, f"{beyond} {detail}"


READER = '''
import os, sys, json, pathlib
import numpy as np
if sys.argv[1] == "tf_keras":
    import tf_keras as keras
else:
    import keras
print("version", keras.__version__, flush=True)
for folder in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    if not (folder / "ours-keras.h5").exists():
        continue
    stored = np.load(folder / "expected.npz")
    for ending in sys.argv[3:]:
        try:
            model = keras.models.load_model(folder / ("ours" + ending), compile=False)
            for layer in model.layers:
                if type(layer).__name__ == "Normalization" and layer.input_mean is None:
                    layer.finalize_state()  # Keras 3.3 computes with 0 and 1 until then, of an .h5
            p = np.asarray(model(stored["x"], training=False))
            np.save(folder / (sys.argv[1] + ending + ".npy"), p)
            if ending == "-keras.h5":
                for kind in (".h5", ".keras", ".weights.h5"):
                    out = folder / (sys.argv[1] + kind)
                    try:
                        model.save_weights(out) if kind == ".weights.h5" else model.save(out)
                    except Exception as error:
                        out.unlink(missing_ok=True)
                        print(json.dumps([folder.name, "saving " + kind, f"{type(error).__name__}: {error}"[:300]]), flush=True)
            print(json.dumps([folder.name, ending, ""]), flush=True)
        except Exception as error:
            print(json.dumps([folder.name, ending, f"{type(error).__name__}: {error}"[:300]]), flush=True)
    keras.backend.clear_session()
'''


def came_back_otherwise(here, word, kinds):
    """Those of a reader's files that hold other weights than it was given."""
    start = here / "ours-keras.h5"
    kinds = [kind for kind in kinds if (here / (word + kind)).exists()]
    ours = [here / f"back-{word}{kind.replace('.', '-')}.h5" for kind in kinds]
    for kind, path in zip(kinds, ours):
        run("cnnbn-convert", *(["--model", start] if kind == ".weights.h5" else []), here / (word + kind), path)
    expected, *found = [line.split()[0] for line in run("cnnbn-info", "--digest", start, *ours).splitlines()]
    return [kind for kind, digest in zip(kinds, found, strict=True) if digest != expected]


def check_reader(reader, folder):
    """Files from here open there; what is saved there comes back with the same weights."""
    environment = dict(os.environ, KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=os.environ["CNNBN_KERAS_OLD"])
    word = reader.split()[0].lower()
    command = [sys.executable, "-c", READER, word, str(folder), "-keras.h5", ".keras"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines, done.stderr
    if reader != "tf_keras":
        assert lines[0] == "version 3.3.3", lines[0]
    refused, wrong = {}, []
    for line in lines[1:]:
        if not line.startswith("["):
            continue
        name, ending, error = json.loads(line)
        if name in CANNOT[reader]:
            continue
        if ending.startswith("saving ") and DOES_NOT_SAVE[reader](name, ending.removeprefix("saving ")):
            continue
        if error:
            refused.setdefault(name, {})[ending] = error
            continue
        expected = np.load(folder / name / "expected.npz")["p"]
        off = difference(np.load(folder / name / f"{word}{ending}.npy"), expected)
        rows[name][reader] = max(off, rows[name].get(reader, 0))
        if off > TOLERANCE:
            wrong.append((name, ending, off))
    kinds = (".h5", ".keras") if word == "tf_keras" else (".h5", ".keras", ".weights.h5")
    for name in rows.keys() - CANNOT[reader].keys():
        sound = [kind for kind in kinds if not DOES_NOT_SAVE[reader](name, kind)]
        try:
            wrong += [(name, kind, "other weights came back") for kind in came_back_otherwise(folder / name, word, sound)]
        except AssertionError as error:
            wrong.append((name, str(error)[-300:]))
    assert not wrong, json.dumps(wrong, indent=1)
    assert not refused, json.dumps(refused, indent=1)


READERS = ["Keras 3.3.3", "tf_keras"]
COLUMNS = ["forward", "gradient", f"Keras {keras.__version__}", *READERS, "ONNX", "folded"]


def write_table(what, names_of):
    """A row for each key of names_of: the worst of the cases that it names."""
    lines = [f"| {what} | " + " | ".join(COLUMNS) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    for key, names in names_of.items():
        cells = []
        for column in COLUMNS:
            values = [rows[name][column] for name in names if column in rows[name]]
            cells.append(f"{max(values):.1e}" if values else "-")
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if os.environ.get("CNNBN_TABLE"):
        with open(os.environ["CNNBN_TABLE"], "a") as f:
            f.write(text)
