"""Reduced from forgery-detection, multi-label and traffic projects: the guarded block holds no forward."""

import numpy
import torch


def eval_one_epoch(model, images, labels, batch_size, score):
    accuracies = []
    with torch.no_grad():
        model.eval()

    for image, label in zip(images, labels):
        for start in range(0, len(image), batch_size):
            x = image[start : start + batch_size]
            prediction = model(x).sigmoid()
            accuracies.append(score(label[start : start + batch_size], prediction.detach().cpu().numpy() > 0.5))
    model.train()
    return numpy.mean(accuracies)


class Trainer:
    def __init__(self, model, criterion, optimizer):
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer

    def train(self, loader):
        self.model.train()
        for data, target in loader:
            self.optimizer.zero_grad()
            self.criterion(self.model(data), target).backward()
            self.optimizer.step()

    def val(self, loader, meter):
        with torch.no_grad():
            self.model.eval()

        for index, (data, target) in enumerate(loader):
            output = self.model(data)
            loss = self.criterion(output, target)
            meter.update(loss.item(), len(data))
            print(index, meter.average)


def evaluate_masks(net, loader, device):
    net.eval()
    scores = []
    for image, mask in loader:
        output = net(image.to(device))
        with torch.no_grad():
            guess = output.sigmoid() > 0.5
            scores.append((guess.cpu() == mask.bool()).float().mean().item())
    return sum(scores) / len(scores)
