"""Reduced from image-classification, shape and topology projects: a new leaf replaces the loss before backward."""

import torch
from torch import nn
from torch.autograd import Variable
from torch.nn import functional as F


def train_classifier(model, loader, optimizer, device):
    running = 0.0
    model.train()
    for images, labels in loader:
        predictions = model(images.to(device))
        loss = F.cross_entropy(predictions, labels.to(device))
        optimizer.zero_grad()
        loss = Variable(loss, requires_grad=True)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


class OverlapLoss(nn.Module):
    def forward(self, out, label):
        loss = 0
        for o, t in zip(out, label):
            loss = loss + 1 - (o * t).sum() / o.sum() / t.sum()
        loss = Variable(loss, requires_grad=True)
        return loss


class ChamferLoss(nn.Module):
    def __init__(self, distance):
        super().__init__()
        self.distance = distance

    def forward(self, points, target):
        loss = self.distance(points[:, 0], target[:, 0])
        for index in range(points.shape[1]):
            loss = loss + self.distance(points[:, index], target[:, index])
        return Variable(loss, requires_grad=True)


def fit(model, loader, optimizer):
    criterion = OverlapLoss()
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()


def fit_shapes(model, loader, optimizer, distance):
    criterion = ChamferLoss(distance)
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()


def train_registration(model, loader, criterion, optimizer):
    for batch in loader:
        optimizer.zero_grad()
        outputs = model(batch["moving"], batch["fixed"])
        loss = criterion(outputs, batch["offset"])
        loss = Variable(loss, requires_grad=True)
        loss.backward()
        optimizer.step()
