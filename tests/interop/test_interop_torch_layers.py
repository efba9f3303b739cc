"""Layers that PyTorch has too, in double precision there: predictions, and the gradient of every weight by one step of SGD."""
import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from interop import in_torch_layouts, probabilities, run

CLASSES, N = 4, 6
# Of the largest logarithm of a probability, and of the largest gradient of a weight: float32 sums of some hundred terms.
TOLERANCE = 1e-5
TOLERANCE_GRADIENT = 2e-5

IMAGE, SEQUENCE = (6, 5, 4), (9, 4)
RANDOM = "{class_name: RandomUniform, config: {minval: 0.5, maxval: 1.5}}"
CONV = "Conv2D: {filters: 4, kernel_size: 2, padding: same, name: front}"


def conv(x, w, name, **more):
    return F.conv2d(x, w[name + "/kernel"], w.get(name + "/bias"), **more)


def front(x, w):
    """Even kernels: Keras pads behind."""
    return conv(F.pad(x, (0, 1, 0, 1)), w, "front")


def depthwise(x, w, name, **more):
    kernel = w[name + "/kernel" if name + "/kernel" in w else name + "/depthwise_kernel"]  # (M, C, R, S)
    multiplier, channels, *window = kernel.shape
    return F.conv2d(x, kernel.transpose(0, 1).reshape(multiplier * channels, 1, *window), groups=channels, **more)


def transposed(x, w, **more):
    return F.conv_transpose2d(x, w["l/kernel"], w["l/bias"], **more)


def sequence(x):
    """Images of one channel (N, 1, length, channels) as (N, channels, length)."""
    return x[:, 0].transpose(1, 2)


def channels_last(x, f):
    return f(x.movedim(1, -1)).movedim(-1, 1)


# layers in YAML, and the same in PyTorch, (N, C, H, W)
CASES = {
    "conv_strides": ("Conv2D: {name: l, filters: 5, kernel_size: [3, 2], strides: [2, 1]}", lambda x, w: conv(x, w, "l", stride=(2, 1))),
    "conv_dilated": ("Conv2D: {name: l, filters: 5, kernel_size: 2, dilation_rate: [2, 3]}", lambda x, w: conv(x, w, "l", dilation=(2, 3))),
    "conv_groups": ("Conv2D: {name: l, filters: 6, kernel_size: 3, groups: 2}", lambda x, w: conv(x, w, "l", groups=2)),
    "depthwise": ("DepthwiseConv2D: {name: l, kernel_size: 3, depth_multiplier: 2, use_bias: false}", lambda x, w: depthwise(x, w, "l")),
    "separable": (
        "SeparableConv2D: {name: l, filters: 5, kernel_size: [2, 3], depth_multiplier: 2, strides: 2}",
        lambda x, w: F.conv2d(depthwise(x, w, "l", stride=2), w["l/pointwise_kernel"], w["l/bias"]),
    ),
    "transposed": ("Conv2DTranspose: {name: l, filters: 3, kernel_size: [3, 2], strides: 2}", lambda x, w: transposed(x, w, stride=2)),
    "transposed_output": (
        "Conv2DTranspose: {name: l, filters: 3, kernel_size: 3, strides: [3, 2], output_padding: [2, 1]}",
        lambda x, w: transposed(x, w, stride=(3, 2), output_padding=(2, 1)),
    ),
    "transposed_dilated": (
        "Conv2DTranspose: {name: l, filters: 3, kernel_size: 2, dilation_rate: [2, 1]}",
        lambda x, w: transposed(x, w, dilation=(2, 1)),
    ),
    "bilinear": (
        "UpSampling2D: {size: [2, 3], interpolation: bilinear}",
        lambda x, w: F.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=False),
    ),
    "nearest": ("UpSampling2D: {size: [3, 2]}", lambda x, w: F.interpolate(x, scale_factor=(3, 2), mode="nearest")),
    "layer_norm": (
        f"LayerNormalization: {{name: l, gamma_initializer: {RANDOM}}}",
        lambda x, w: channels_last(x, lambda y: F.layer_norm(y, y.shape[-1:], w["l/gamma"], w["l/beta"], 1e-3)),
    ),
    "layer_norm_all": (
        "LayerNormalization: {axis: [1, 2, 3], scale: false, center: false, epsilon: 1e-5}",
        lambda x, w: F.layer_norm(x, x.shape[1:], eps=1e-5),
    ),
    "group_norm": (
        f"GroupNormalization: {{name: l, groups: 2, gamma_initializer: {RANDOM}}}",
        lambda x, w: F.group_norm(x, 2, w["l/gamma"], w["l/beta"], 1e-3),
    ),
    "unit_norm": ("UnitNormalization: {axis: 1}", lambda x, w: F.normalize(x, dim=2, eps=1e-6)),
    "batch_norm_rows": (
        f"BatchNormalization: {{name: l, axis: 1, gamma_initializer: {RANDOM}}}",
        lambda x, w: F.batch_norm(x.transpose(1, 2), None, None, w["l/gamma"], w["l/beta"], True, 0, 1e-3).transpose(1, 2),
    ),
    "prelu": (
        f"PReLU: {{name: l, shared_axes: [1, 2], alpha_initializer: {RANDOM}}}",
        lambda x, w: F.prelu(x, w["l/alpha"].reshape(-1)),
    ),
    "softmax_rows": ("Softmax: {axis: 1}", lambda x, w: F.softmax(x, 2)),
    "max_pooling": ("MaxPooling2D: {pool_size: [2, 3], strides: 2}", lambda x, w: F.max_pool2d(x, (2, 3), 2)),
    "average_pooling": ("AveragePooling2D: {pool_size: [3, 2], strides: 2}", lambda x, w: F.avg_pool2d(x, (3, 2), 2)),
    "global_max": ("GlobalMaxPooling2D", lambda x, w: x.amax((2, 3))),
    "borders": (
        "ZeroPadding2D: {padding: [[1, 0], [2, 1]]}\n- Cropping2D: {cropping: [[0, 2], [1, 0]]}",
        lambda x, w: F.pad(F.pad(x, (2, 1, 1, 0)), (-1, 0, 0, -2)),
    ),
    "dense_image": (
        "Dense: {name: l, units: 5, activation: tanh}",
        lambda x, w: channels_last(x, lambda y: torch.tanh(F.linear(y, w["l/kernel"], w["l/bias"]))),
    ),
}
for name, f in {
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
}.items():
    layer = "ELU: {alpha: 0.7}" if name == "elu" else f"Activation: {{activation: {name}}}"
    CASES[name] = layer, lambda x, w, f=f: f(x)
# behind a Reshape instead of a convolution
SEQUENCES = {
    "conv1d": (
        "Conv1D: {name: l, filters: 3, kernel_size: 3, strides: 2}",
        lambda x, w: F.conv1d(x, w["l/kernel"], w["l/bias"], stride=2),
    ),
    "conv1d_causal": (
        "Conv1D: {name: l, filters: 3, kernel_size: 3, padding: causal, dilation_rate: 2, groups: 1}",
        lambda x, w: F.conv1d(F.pad(x, (4, 0)), w["l/kernel"], w["l/bias"], dilation=2),
    ),
    "average_pooling1d": ("AveragePooling1D: {pool_size: 3, strides: 2}", lambda x, w: F.avg_pool1d(x, 3, 2)),
    "max_pooling1d": ("MaxPooling1D", lambda x, w: F.max_pool1d(x, 2)),
}


def step(folder, data, lr):
    """A step of SGD from the first weights of the seed."""
    run("cnnbn-train", "--model", folder / "model.yaml", "--data", data, "--steps", 1, "--batch-size", N, "--optimizer", "sgd",
        "--lr", lr, "--no-shuffle", "--no-validation", "--checkpoint-dir", folder / f"run-{lr}")  # fmt: skip
    return max((folder / f"run-{lr}").glob("ckpt-*.h5"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(3)
    made = {}
    for shape in (IMAGE, (*SEQUENCE, 1)):
        made[shape] = folder / f"{len(made)}.h5"
        with h5py.File(made[shape], "w") as f:
            for split in ("train", "test"):
                f[f"x_{split}"] = random.normal(0, 1, (N, *shape)).astype("float32")
                f[f"y_{split}"] = (np.arange(N) % CLASSES).astype("uint8")
            f.attrs["class_names"] = [str(k) for k in range(CLASSES)]
    return made


def logits_of(name, x, w):
    if name in SEQUENCES:
        x = SEQUENCES[name][1](sequence(x), w)
    else:
        x = CASES[name][1](front(x, w), w)
    x = x.movedim(1, -1).flatten(1) if x.ndim > 2 else x
    return F.linear(x, w["out/kernel"], w["out/bias"])


@pytest.mark.parametrize("name", [*CASES, *SEQUENCES])
def test_layer(name, data, tmp_path):
    shape = (*SEQUENCE, 1) if name in SEQUENCES else IMAGE
    first = f"Reshape: {{target_shape: {list(SEQUENCE)}}}" if name in SEQUENCES else CONV
    layers = (SEQUENCES | CASES)[name][0]
    last = f"Flatten\n- Dense: {{name: out, units: {CLASSES}, activation: softmax}}"
    (tmp_path / "model.yaml").write_text(f"input: {list(shape)}\nlayers:\n- {first}\n- {layers}\n- {last}\n")
    start, after = step(tmp_path, data[shape], 0), step(tmp_path, data[shape], 1)
    with h5py.File(data[shape]) as f:
        x = {split: torch.from_numpy(f[f"x_{split}"][:].astype("float64")).movedim(-1, 1) for split in ("train", "test")}
        y = torch.from_numpy(f["y_train"][:].astype("int64"))
    before = in_torch_layouts(start)
    w = {key: torch.from_numpy(value.copy()).requires_grad_() for key, value in before.items()}
    F.cross_entropy(logits_of(name, x["train"], w), y).backward()
    if not name.startswith("batch_norm"):  # which predicts with its moving statistics
        theirs = F.log_softmax(logits_of(name, x["test"], w), 1).detach().numpy()
        ours = np.log(probabilities(start, data[shape], N))
        assert np.max(np.abs(ours - theirs)) <= TOLERANCE * np.max(np.abs(theirs))
    now = in_torch_layouts(after)
    gradients = {key: value.grad.numpy() for key, value in w.items() if value.grad is not None}
    assert gradients.keys() == {key for key in before if "moving" not in key}
    least = 0.1 * max(np.max(np.abs(g)) for g in gradients.values())  # one that is zero but for rounding
    for key, theirs in gradients.items():
        off = np.max(np.abs(before[key] - now[key] - theirs))
        assert off <= TOLERANCE_GRADIENT * max(np.max(np.abs(theirs)), least), key
