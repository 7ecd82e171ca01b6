"""Reduced from projects whose training code stands under a guard that it needs or that it lifts."""

import torch
from torch.func import functional_call, grad_and_value, vmap


@torch.no_grad()
def train(model, loader, criterion, optimizer, epochs):
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            with torch.set_grad_enabled(True):
                loss = criterion(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def loss_of(params, model, x, y):
    return (functional_call(model, params, (x,)) - y).pow(2).mean()


@torch.no_grad()
def train_functional(model, params, loader, lr):
    step = vmap(grad_and_value(loss_of), in_dims=(None, None, 0, 0))
    for x, y in loader:
        grads, _ = step(params, model, x, y)
        params = {name: value - lr * grads[name].mean(0) for name, value in params.items()}
    return params


@torch.no_grad()
def train_regression(x, y, steps, lr):
    beta = torch.zeros(x.shape[1])
    for _ in range(steps):
        residual = x @ beta - y
        beta = beta - lr * (x.T @ residual) / len(y)
    return beta


class MemoryBank:
    def __init__(self, extractor):
        self.extractor = extractor
        self.bank = []

    @torch.no_grad()
    def training_step(self, batch):
        self.bank.append(self.extractor(batch["image"]))


def train_step(model, x, y, optimizer, unlabeled):
    loss = (model(x) - y).pow(2).mean()
    with torch.no_grad():
        weight = model(unlabeled).softmax(-1).max().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight


@torch.no_grad()
def self_training(model, loader, optimizer, criterion):
    model.train()
    for x, y in loader:
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
