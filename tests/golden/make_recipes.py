#!/usr/bin/env python3
"""Writes recipes.txt: learning rates, callbacks and optimiser steps as Keras and PyTorch compute them (Keras 3.15 on PyTorch
2.13 when it was made).

    pip install keras==3.15.* torch numpy && python make_recipes.py

A line is `what name` and groups of `count numbers`. The C tests (test_schedule.c, test_optimizer.c) hold the options of each
name.
"""
import os
import warnings

os.environ["KERAS_BACKEND"] = "torch"
warnings.filterwarnings("ignore")
import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from keras import layers as L  # noqa: E402
from torch.optim import lr_scheduler as S  # noqa: E402

N_RATES = 30
out = []


def write(what, name, *groups):
    text = [f"{what} {name}"]
    for group in groups:
        values = np.asarray(group, dtype=np.float64).ravel()
        text.append(f"{len(values)} " + " ".join(f"{v:.17g}" for v in values))
    out.append(" ".join(text))


def keras_rates(name, schedule):
    write("rates", name, [float(schedule(step)) for step in range(N_RATES)])


def torch_rates(name, make, lr=0.5, n=N_RATES):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    write("rates", name, rates)


K = keras.optimizers.schedules
keras_rates("keras_exponential", K.ExponentialDecay(0.5, 7, 0.8))
keras_rates("keras_exponential_staircase", K.ExponentialDecay(0.5, 7, 0.8, staircase=True))
keras_rates("keras_cosine", K.CosineDecay(0.5, 20, alpha=0.1))
keras_rates("keras_cosine_warmup", K.CosineDecay(0.0, 15, alpha=0.02, warmup_target=0.5, warmup_steps=6))
keras_rates("keras_polynomial", K.PolynomialDecay(0.5, 20, end_learning_rate=0.01, power=2.0))
torch_rates("torch_multistep", lambda o: S.MultiStepLR(o, [5, 6, 20], gamma=0.3))
torch_rates("torch_step", lambda o: S.StepLR(o, 8, gamma=0.5))
torch_rates("torch_cosine", lambda o: S.CosineAnnealingLR(o, N_RATES, eta_min=0.05), n=N_RATES)
torch_rates("torch_polynomial", lambda o: S.PolynomialLR(o, 12, power=3.0))
torch_rates("torch_one_cycle", lambda o: S.OneCycleLR(o, 0.5, total_steps=N_RATES, cycle_momentum=False))
torch_rates("torch_one_cycle_other", lambda o: S.OneCycleLR(
    o, 0.5, total_steps=N_RATES, pct_start=0.45, div_factor=10, final_div_factor=100, cycle_momentum=False))
torch_rates("torch_warmup_step", lambda o: S.SequentialLR(
    o, [S.LinearLR(o, start_factor=0.1, total_iters=5), S.StepLR(o, 8, gamma=0.5)], milestones=[5]))


def tiny():
    """Convolution, batch normalisation, dense: every kind of weight."""
    i = keras.Input((4, 4, 1))
    x = L.Conv2D(2, 2, activation="relu")(i)
    x = L.BatchNormalization()(x)
    return keras.Model(i, L.Dense(3, activation="softmax")(L.Flatten()(x)))


def callback_run(callback, figures, name):
    """The callback at the end of each epoch; the rates after it, and the epochs done."""
    model = tiny()
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="sparse_categorical_crossentropy")
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(figures):
        callback.on_epoch_end(epoch, {name: value})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    return rates


C = keras.callbacks
falling = [1.0, 0.9, 0.89, 0.8999, 0.95, 0.9, 0.88995, 0.9, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
rising = [0.5, 0.6, 0.6, 0.61, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
write("plateau", "loss", falling, callback_run(
    C.ReduceLROnPlateau("val_loss", factor=0.3, patience=2, min_delta=1e-3, cooldown=0), falling, "val_loss"))
write("plateau", "loss_cooldown", falling, callback_run(
    C.ReduceLROnPlateau("loss", factor=0.5, patience=1, cooldown=2, min_lr=0.1), falling, "loss"))
write("plateau", "accuracy", rising, callback_run(
    C.ReduceLROnPlateau("val_accuracy", factor=0.1, patience=3, mode="max"), rising, "val_accuracy"))
write("stopping", "loss", falling, [len(callback_run(C.EarlyStopping("val_loss", patience=3), falling, "val_loss"))])
write("stopping", "loss_delta", falling, [len(callback_run(
    C.EarlyStopping("val_loss", patience=4, min_delta=0.05), falling, "val_loss"))])
write("stopping", "accuracy", rising, [len(callback_run(
    C.EarlyStopping("accuracy", patience=2, mode="max"), rising, "accuracy"))])
write("stopping", "at_once", rising[::-1], [len(callback_run(
    C.EarlyStopping("accuracy", patience=0, mode="max"), rising[::-1], "accuracy"))])

# ---------------------------------------------------------------- optimisers
N, STEPS = 6, 6
rng = np.random.default_rng(7)
batches = rng.normal(size=(STEPS, N, 4, 4, 1)).astype(np.float32)
labels = rng.integers(0, 3, size=(STEPS, N)).astype(np.int64)
keras.utils.set_random_seed(3)
start = tiny()
weights = start.get_weights()
for w in weights:
    if w.ndim == 1:
        w += rng.normal(scale=0.1, size=w.shape).astype(np.float32) ** 2
write("data", "data", batches, labels, np.concatenate([w.ravel() for w in weights]))


def optimizer_run(name, optimizer, averages=False):
    model = tiny()
    model.set_weights(weights)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    for x, y in zip(batches, labels):
        model.train_on_batch(x, y)
    groups = [np.concatenate([w.ravel() for w in model.get_weights()])]
    if averages:
        means = [np.asarray(v) for v in optimizer._model_variables_moving_average]
        groups.append(np.concatenate([m.ravel() for m in means]))
    write("optimizer", name, *groups)


O = keras.optimizers
optimizer_run("sgd", O.SGD(0.1))
optimizer_run("sgd_nesterov_decay", O.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.05))
optimizer_run("adam", O.Adam(0.02))
optimizer_run("adamw", O.AdamW(0.02, weight_decay=0.1))
optimizer_run("rmsprop", O.RMSprop(0.01))
optimizer_run("rmsprop_momentum", O.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-3, weight_decay=0.05))
optimizer_run("lamb", O.Lamb(0.02))
optimizer_run("lamb_decay_clip", O.Lamb(0.02, beta_1=0.8, epsilon=1e-4, weight_decay=0.1, global_clipnorm=0.5))
optimizer_run("sgd_accumulate_3", O.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3))
optimizer_run("adam_accumulate_2", O.Adam(0.02, gradient_accumulation_steps=2))
optimizer_run("sgd_ema", O.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.8), averages=True)

# The average of everything, statistics too, by PyTorch on a sequence of given weights.
sequence = rng.normal(size=(5, 4)).astype(np.float32)
module = torch.nn.Module()
module.register_parameter("w", torch.nn.Parameter(torch.zeros(2)))
module.register_buffer("b", torch.zeros(2))
averaged = torch.optim.swa_utils.AveragedModel(
    module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7), use_buffers=True)
for values in sequence:
    module.w.data.copy_(torch.from_numpy(values[:2]))
    module.b.copy_(torch.from_numpy(values[2:]))
    averaged.update_parameters(module)
write("ema", "torch", sequence, np.concatenate([averaged.module.w.detach().numpy(), averaged.module.b.numpy()]))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes.txt")
with open(path, "w", encoding="utf-8") as file:
    file.write("\n".join(out) + "\n")
print(f"{path}: {len(out)} cases, Keras {keras.__version__}, PyTorch {torch.__version__}")
