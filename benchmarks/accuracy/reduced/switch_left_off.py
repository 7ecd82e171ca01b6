"""Reduced from evaluation helpers that switch gradients off and return."""

import torch
from torch.nn import functional as F


def validate(model, criterion, device, loader, writer, epoch):
    torch.set_grad_enabled(False)
    model.eval()
    total, correct = 0.0, 0
    for clips, labels in loader:
        outputs = model(clips.to(device))
        total += criterion(outputs, labels.to(device)).item()
        correct += (outputs.argmax(1).cpu() == labels).sum().item()
    writer.add_scalar("val/loss", total / len(loader), epoch)
    return correct


def train(model, criterion, optimizer, device, loader, val_loader, writer, epochs):
    for epoch in range(epochs):
        model.train()
        for clips, labels in loader:
            optimizer.zero_grad()
            criterion(model(clips.to(device)), labels.to(device)).backward()
            optimizer.step()
        validate(model, criterion, device, val_loader, writer, epoch)


def features_of(dataset, model):
    vectors = []
    torch.set_grad_enabled(False)
    model.eval()
    for images, _ in dataset:
        vectors.append(F.normalize(model(images.cuda()), dim=1).cpu())
    return torch.cat(vectors)


class SuperResolutionTrainer:
    def __init__(self, model, loader):
        self.model = model
        self.loader = loader

    def test(self):
        torch.set_grad_enabled(False)
        self.model.eval()
        return [self.model(low).clamp(0, 255).cpu() for low, _ in self.loader]


class Melody:
    def __init__(self, load, name):
        torch.set_grad_enabled(False)
        self.model = load(name)

    def compose(self, prompt):
        return self.model.generate(prompt)


class LevelledSpeaker:
    def __init__(self, model, tokenizer, device):
        self.model = model.to(device).eval()
        self.tokenizer = tokenizer
        torch.set_grad_enabled(False)

    def speak(self, texts):
        batch = self.tokenizer(texts, return_tensors="pt", padding=True)
        return self.tokenizer.batch_decode(self.model(**batch).logits.argmax(-1))


class VideoTester:
    def __init__(self, model, loader):
        self.model = model
        self.loader = loader

    def test(self):
        torch.set_grad_enabled(False)
        self.model.eval()
        for low, name in self.loader:
            torch.save(self.model(low), name)


class Separation:
    def __init__(self, model, metric):
        self.model = model
        self.metric = metric

    def run(self, test_set):
        scores = []
        torch.no_grad().__enter__()
        for mixture, sources in test_set:
            scores.append(self.metric(self.model(mixture.unsqueeze(0)), sources).item())
        return scores
