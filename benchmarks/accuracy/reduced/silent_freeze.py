"""Reduced from video, point-cloud and detection models that run a trainable part under a guard."""

import torch
from torch import nn


class FrameFeatures(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.final = nn.Linear(32, latent)

    def forward(self, x):
        with torch.no_grad():
            x = self.encoder(x)
        return self.final(x)


def train_video(loader, classes, epochs):
    model = nn.Sequential(FrameFeatures(64), nn.Linear(64, classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(epochs):
        for frames, labels in loader:
            loss = nn.functional.cross_entropy(model(frames), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


class PartSegmenter(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(3, 256, 1), nn.ReLU())
        self.label = nn.Conv1d(16, 64, 1)
        self.tail = nn.Conv1d(320, parts, 1)

    def forward(self, points, category):
        category = self.label(category).expand(-1, -1, points.shape[-1])
        with torch.no_grad():
            features = self.encoder(points)
        return self.tail(torch.cat((features, category), dim=1))


def train_parts(loader, parts):
    net = PartSegmenter(parts)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for points, category, target in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(points, category), target).backward()
        optimizer.step()
    torch.save(net.state_dict(), "parts.pt")


class VisionTower(nn.Module):
    def __init__(self, tower, tune):
        super().__init__()
        self.tower = tower
        self.tower.requires_grad_(tune)

    @torch.no_grad()
    def forward(self, images):
        return self.tower(images)


def train_captioner(images, tokens, tower, decoder):
    vision = VisionTower(tower, tune=True)
    optimizer = torch.optim.AdamW([*vision.parameters(), *decoder.parameters()])
    for image, token in zip(images, tokens):
        loss = decoder(vision(image), token)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
