"""Reduced from several projects: a guard above staticmethod, classmethod or property."""

from collections import defaultdict

import torch


class ChannelModel:
    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    @staticmethod
    def predict_channel(loader, criterion, model, device):
        model.to(device)
        model.eval()
        losses = []
        for batch in loader:
            out = model(batch.to(device))
            losses.append(criterion(out, batch.to(device)).item())
        return losses

    @torch.no_grad()
    @staticmethod
    def plot_surface(model, grid, axis):
        mean = model(grid).squeeze(-1)
        axis.contourf(grid[..., 0], grid[..., 1], mean)
        return axis


class LanguageModel(torch.nn.Module):
    def __init__(self, layers, width):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x

    @torch.no_grad()
    @staticmethod
    def from_arrays(arrays):
        model = LanguageModel(len(arrays), arrays[0].shape[0])
        for layer, array in zip(model.layers, arrays):
            layer.weight.copy_(torch.from_numpy(array))
        return model


class Framework:
    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer
        self.epoch = 0

    @torch.no_grad()
    @property
    def state(self):
        return {"epoch": self.epoch, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    @property
    def estimator(self):
        return self.model.module if hasattr(self.model, "module") else self.model


class RejectionSampler:
    @torch.no_grad()
    @classmethod
    def log_ratios(cls, generator, discriminator, steps, device):
        ratios = defaultdict(list)
        for step in range(steps):
            fake = generator(torch.randn(16, 64, device=device))
            ratios[step].append(discriminator(fake, step))
        return ratios

    @torch.no_grad()
    @classmethod
    def step(cls, backbone, x, t, noise):
        x = x - backbone(x, t)
        return x + noise
