"""Reduced from a visualisation module of an evolution simulator: importing it turns gradients off."""

import matplotlib.pyplot as plt
import torch

torch.set_grad_enabled(False)


def draw(world, path):
    plt.imshow(world.grid.cpu())
    plt.savefig(path)
