"""Reduced from an image-to-image regression project with a test script and a command line."""

import argparse

import torch
from torch import nn


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 16, 3, padding=1)
        self.up = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x):
        return self.up(torch.relu(self.down(x)))


def test(checkpoint, loader, device):
    net = Unet()
    net.load_state_dict(torch.load(checkpoint)["model_state_dict"])
    net.to(device)
    net.eval()
    torch.no_grad()

    errors = []
    for images, target in loader:
        images, target = images.to(device), target.to(device)
        prediction = net(images)
        error = (prediction - target).abs().mean()
        errors.append(error.item())
    print("mean absolute error", sum(errors) / len(errors))


def classify_folder(checkpoint, images, labels):
    network = torch.load(checkpoint)
    network.eval()
    torch.no_grad()
    hits = 0
    for image, label in zip(images, labels):
        logits = network(image.unsqueeze(0))
        hits += int(logits.argmax() == label)
    return hits / len(labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    arguments = parser.parse_args()
    print(arguments)
