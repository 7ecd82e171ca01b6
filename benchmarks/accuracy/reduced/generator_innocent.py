"""Reduced from projects with context managers of their own that yield inside a guard on purpose."""

import contextlib

import torch


@contextlib.contextmanager
def evaluating(*modules):
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    with torch.no_grad():
        yield
    for module, training in zip(modules, before):
        module.training = training


def reconstruction_error(model, loader):
    total = 0.0
    with evaluating(model):
        for x in loader:
            total += (model(x) - x).pow(2).mean().item()
    return total / len(loader)


def pairwise(model, loader):
    embeddings = []
    with evaluating(model, model.head):
        for x, _ in loader:
            embeddings.append(model.head(model(x)).cpu())
    return torch.cdist(torch.cat(embeddings), torch.cat(embeddings))


@torch.no_grad()
def chunks(model, volume, size):
    for part in volume.split(size):
        yield model(part)


class Adapted:
    def __init__(self, backbone, adapters):
        self.backbone = backbone
        self.adapters = adapters

    @contextlib.contextmanager
    def teacher(self):
        for adapter in self.adapters:
            adapter.enabled = False
        try:
            with torch.no_grad():
                yield
        finally:
            for adapter in self.adapters:
                adapter.enabled = True

    def distill(self, x, optimizer):
        with self.teacher():
            wanted = self.backbone(x)
        loss = (self.backbone(x) - wanted).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
