"""Reduced from evaluation helpers that switch gradients off and on again, and from scripts that never train."""

import torch


def val_one_epoch(loader, device, model, criterion):
    losses = []
    torch.set_grad_enabled(False)
    model.eval()
    for x, y in loader:
        losses.append(criterion(model(x.to(device)), y.to(device)).item())
    torch.set_grad_enabled(True)
    model.train()
    return losses


def phase(model, loader, criterion, optimizer, training):
    model.train(training)
    total = 0.0
    for x, y in loader:
        with torch.set_grad_enabled(training):
            loss = criterion(model(x), y)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        total += loss.item()
    return total / len(loader)
