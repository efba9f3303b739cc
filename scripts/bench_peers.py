"""Training speed beside PyTorch and Keras; started by bench-peers.sh, which has the options.

A peer is a process of its own that is started once, warmed up, and then told how many steps to make: a line on its stdin, a
line with seconds and the median of the losses on its stdout. Between rounds it waits. cnnbn-train is started for every round, first steps included.
"""
import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

SOURCE = Path(os.environ["CNNBN_SOURCE"])
BIN = Path(os.environ["CNNBN_BIN"])
DATA = SOURCE / "datasets" / "fashion-mnist-7000.h5"
MODELS = {  # name of cnnbn, batch
    "example-128": ("keras-example", 128),
    "example-32": ("keras-example", 32),
    "resnet20-128": ("resnet20", 128),
    "resnet18-cifar-64": ("resnet18-cifar", 64),
}
PEERS = ["torch", "torch-cl", "torch-compile", "keras", "keras-xla", "torch-bf16"]
WARM_UP = 3  # steps


# ---------------------------------------------------------------- peers: each in a process of its own


def serve(step, x, y, batch, warm_up):
    """step(x, y) trains on a batch and returns its loss."""
    n_batches, at = len(x) // batch, 0

    def steps(n):
        nonlocal at
        losses = []
        for _ in range(n):
            begin = at % n_batches * batch
            losses.append(float(step(x[begin : begin + batch], y[begin : begin + batch])))
            at += 1
        return statistics.median(losses)

    def answer(**what):
        print(json.dumps(what), flush=True)

    answer(loss=steps(1))
    steps(warm_up - 1)
    answer(warm=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        loss = steps(int(line))
        answer(seconds=time.perf_counter() - begin, loss=loss)
    answer(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def torch_model(name):
    from torch import nn

    def conv_bn(n_in, n_out, size, stride):
        return [nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False), nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01)]

    class Block(nn.Module):
        def __init__(self, n_in, n_out, stride):
            super().__init__()
            self.body = nn.Sequential(*conv_bn(n_in, n_out, 3, stride), nn.ReLU(), *conv_bn(n_out, n_out, 3, 1))
            self.short = nn.Sequential(*(conv_bn(n_in, n_out, 1, stride) if n_in != n_out else []))
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.short(x))

    if name == "keras-example":
        bn = [nn.BatchNorm2d(n, eps=1e-3, momentum=0.01) for n in (32, 64)]
        parts = [nn.Conv2d(1, 32, 3), nn.ReLU(), bn[0], nn.Conv2d(32, 64, 3), nn.ReLU(), bn[1]]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * 24 * 24, 10))
    filters, n_blocks = ((16, 32, 64), 3) if name == "resnet20" else ((64, 128, 256, 512), 2)
    parts, n_in = [*conv_bn(3, filters[0], 3, 1), nn.ReLU()], filters[0]
    for stage, n_out in enumerate(filters):
        for i in range(n_blocks):
            parts.append(Block(n_in, n_out, 2 if stage and not i else 1))
            n_in = n_out
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, 10))


def serve_torch(kind, name, batch, data, rank, rendezvous):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = images(data)
    if rendezvous:  # this rank's half of each batch
        torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
        mine = np.arange(len(x)) % batch // (batch // 2) == rank
        x, y, batch = x[mine], y[mine], batch // 2
    layout = torch.channels_last if kind == "torch-cl" else torch.contiguous_format
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    y = torch.from_numpy(y)
    model = torch_model(name).to(memory_format=layout)
    if rendezvous:
        model = torch.nn.parallel.DistributedDataParallel(model)
    if kind == "torch-compile":
        model = torch.compile(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)

    def step(x, y):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "torch-bf16"):
            logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    serve(step, x, y, batch, WARM_UP)


def serve_keras(kind, model_file, batch, data):
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    x, y = (tf.constant(part) for part in images(data))
    model = keras.models.load_model(model_file, compile=False)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    # What model.fit compiles, without its loop of Python around it.
    @tf.function(jit_compile=kind == "keras-xla")
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    serve(step, x, y, batch, WARM_UP)


def images(data):
    with h5py.File(data) as f:
        x, y = f["x_train"][:].astype("float32") / np.float32(255), f["y_train"][:].astype("int64")
    return (x[..., None] if x.ndim == 3 else x), y


# ---------------------------------------------------------------- the measurement


def peer_environment(avx2):
    environment = dict(os.environ, OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")
    if avx2:
        environment.update(ONEDNN_MAX_CPU_ISA="AVX2", DNNL_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2")
    return environment


class Peer:
    def __init__(self, kind, name, batch, data, model_file, cores, environment, folder):
        self.batch, self.speeds = batch, []
        rendezvous = folder / f"{kind}-{name}-{batch}" if len(cores) > 1 else ""
        common = [kind, name, str(batch), str(data), str(model_file), str(rendezvous)]
        begin = time.perf_counter()
        self.processes = [
            subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, __file__, "--serve", str(rank), *common],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(folder / f"{kind}-{rank}.err", "w"), text=True, env=environment,
            )  # fmt: skip
            for rank, core in enumerate(cores)
        ]
        self.errors = folder / f"{kind}-0.err"
        self.first_loss = self.last_loss = self.answers()[0]["loss"]
        self.start_s = time.perf_counter() - begin
        self.answers()  # warm

    def answers(self):
        lines = [process.stdout.readline() for process in self.processes]
        if not all(lines):
            sys.exit(f"a peer ended:\n{self.errors.read_text()[-2000:]}")
        return [json.loads(line) for line in lines]

    def round(self, seconds):
        steps = max(3, round(seconds * (self.speeds[-1] if self.speeds else 100) / self.batch))
        for process in self.processes:
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        answers = self.answers()
        self.last_loss = answers[0]["loss"]
        self.speeds.append(steps * self.batch / max(answer["seconds"] for answer in answers))

    def end(self):
        for process in self.processes:
            process.stdin.close()
        self.peak_mb = max(answer["peak_mb"] for answer in self.answers())
        for process in self.processes:
            process.wait()


class Cnnbn:
    def __init__(self, name, batch, data, cores, folder, avx2):
        self.batch, self.speeds, self.peak_mb = batch, [], 0
        self.log = folder / "steps.csv"
        pinned = ["taskset", "-c", ",".join(map(str, cores))]
        self.command = [*pinned, *([SOURCE / "scripts" / "mpirun.sh", len(cores)] if len(cores) > 1 else []), BIN / "cnnbn-train"]
        self.command += ["--model", name, "--batch-size", batch, "--data", data, "--threads", 1, "--no-shuffle", "--no-validation"]
        self.command += ["--kernels", "simd-avx2" if avx2 else "auto", "--log-steps", self.log]
        begin = time.perf_counter()
        self.run(1)
        self.start_s = time.perf_counter() - begin

    def run(self, steps):
        # As many epochs as the steps need.
        command = [str(word) for word in [*self.command, "--steps", steps, "--epochs", steps]]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"cnnbn-train ended with {done.returncode}:\n{done.stderr}")
        self.peak_mb = max(self.peak_mb, float(re.search(r"peak memory ([\d,]+) MB", done.stdout).group(1).replace(",", "")))
        return float(re.search(r"([\d,.]+) images/s\s*$", done.stdout).group(1).replace(",", ""))

    def round(self, seconds):
        speed = self.speeds[-1] if self.speeds else self.run(10)
        self.speeds.append(self.run(max(3, round(seconds * speed / self.batch))))
        losses = np.loadtxt(self.log, delimiter=",", skiprows=1, usecols=1)
        self.first_loss, self.last_loss = losses[0], statistics.median(losses[len(losses) // 2 :])

    def end(self):
        pass


def colour_dataset(path):
    """The bundled images as 32x32x3, for the residual networks."""
    with h5py.File(DATA) as grey, h5py.File(path, "w") as f:
        for split in ("train", "test"):
            x = np.pad(grey[f"x_{split}"][:], ((0, 0), (2, 2), (2, 2)))
            f[f"x_{split}"] = np.repeat(x[..., None], 3, axis=3)
            f[f"y_{split}"] = grey[f"y_{split}"][:]
        f.attrs["class_names"] = grey.attrs["class_names"]
    return path


def keras_model(name, data, folder):
    """The model as cnnbn wrote it, for Keras."""
    command = [BIN / "cnnbn-train", "--quiet", "--model", name, "--data", data, "--steps", 1, "--no-validation", "--checkpoint-dir", folder / name]
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)
    return next((folder / name).glob("ckpt-*.h5"))


def measure(title, peers, arguments, folder, colour):
    name, batch = MODELS[title]
    data = DATA if name == "keras-example" else colour
    cores = [arguments.core, arguments.core + 1] if arguments.np2 else [arguments.core]
    environment = peer_environment(arguments.avx2)
    model_file = keras_model(name, data, folder) if any(kind.startswith("keras") for kind in peers) else ""
    runs = {"cnnbn": Cnnbn(name, batch, data, cores, folder, arguments.avx2)}
    for kind in peers:
        runs[kind] = Peer(kind, name, batch, data, model_file, cores, environment, folder)
    for peer in list(runs.values())[1:]:
        peer.round(1)  # its speed, to choose the number of steps
    for _ in range(arguments.rounds):
        for run in runs.values():
            run.round(arguments.seconds)
    for run in runs.values():
        run.end()
    for peer in list(runs.values())[1:]:
        peer.speeds = peer.speeds[1:]
    where = f"cores {cores[0]} and {cores[1]}" if arguments.np2 else f"core {cores[0]}"
    print(f"\n{title}, {where}: images/s over {arguments.rounds} rounds of about {arguments.seconds:g} s each\n")
    print("| | median | best | start to first step, s | peak memory, MB | loss: first step, median of last round |\n|---|---|---|---|---|---|")
    for kind, run in runs.items():
        figures = f"{statistics.median(run.speeds):,.0f} | {max(run.speeds):,.0f} | {run.start_s:.2f} | {run.peak_mb:,.0f}"
        print(f"| {kind} | {figures} | {run.first_loss:.3f}, {run.last_loss:.3f} |", flush=True)
    learned = [run.last_loss < run.first_loss for run in runs.values()]
    fp32 = [run.speeds for kind, run in runs.items() if kind not in ("cnnbn", "torch-bf16")]
    return all(learned), [figure(runs["cnnbn"].speeds) / max(map(figure, fp32)) for figure in (statistics.median, max)]


# ---------------------------------------------------------------- the surroundings


def installed_mb(package, seen):
    """A package with all that it asks for."""
    name = re.split(r"[^A-Za-z0-9._-]", package, maxsplit=1)[0].lower().replace("_", "-")
    if name in seen or "extra ==" in package:
        return 0
    seen.add(name)
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:  # for other platforms
        return 0
    total = sum(path.stat().st_size for file in distribution.files or [] if (path := Path(file.locate())).is_file())
    return total / 1e6 + sum(installed_mb(wanted, seen) for wanted in distribution.requires or [])


def linked_mb(program):
    """A program with the libraries that it loads."""
    loaded = re.findall(r"=> (/\S+)", subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout)
    return sum(Path(path).stat().st_size for path in [str(program), *loaded]) / 1e6


def cpu():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*: (.*)", f.read())
    return found.group(1) if found else platform.machine()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--peers", default=",".join(kind for kind in PEERS if kind != "torch-compile"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--np2", action="store_true")
    parser.add_argument("--avx2", action="store_true")
    arguments = parser.parse_args()
    peers, models = arguments.peers.split(","), arguments.models.split(",")
    if arguments.np2:
        peers = [kind for kind in peers if kind.startswith("torch") and kind != "torch-compile"]
    for word, known in [*((kind, PEERS) for kind in peers), *((title, MODELS) for title in models)]:
        if word not in known:
            parser.error(f"{word}: one of {', '.join(known)} is expected")
    if not set(peers) - {"torch-bf16"}:
        parser.error("--peers: an fp32 peer is needed, to compare with")
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("torch", "keras", "tensorflow-cpu")]
    limit = "; all limited to AVX2" if arguments.avx2 else ""
    print(f"{datetime.date.today()}, {cpu()}; {', '.join(versions)}{limit}")
    sizes = [("cnnbn-train and its libraries", linked_mb(BIN / "cnnbn-train")), ("torch", installed_mb("torch", set()))]
    sizes.append(("keras and tensorflow-cpu", installed_mb("tensorflow-cpu", set())))
    print("Installed, MB: " + ", ".join(f"{name} {size:,.0f}" for name, size in sizes))
    with tempfile.TemporaryDirectory() as folder:
        colour = colour_dataset(Path(folder) / "colour.h5")
        ratios = {title: measure(title, peers, arguments, Path(folder), colour) for title in models}
    print("\nRatio to the best fp32 peer, of medians and of bests:")
    for title, (learned, (median, best)) in ratios.items():
        print(f"{title}: {median:.2f}x {best:.2f}x{'' if learned else '; NOT ALL LEARNED'}")
    if not all(learned for learned, _ in ratios.values()):
        sys.exit(1)


if len(sys.argv) > 1 and sys.argv[1] == "--serve":
    rank, kind, name, batch, data, model_file, rendezvous = sys.argv[2:]
    if kind.startswith("torch"):
        serve_torch(kind, name, int(batch), data, int(rank), rendezvous)
    else:
        serve_keras(kind, model_file, int(batch), data)
else:
    main()
