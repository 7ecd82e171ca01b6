"""Reduced from detector front ends, a benchmark module and swarm optimisers: a guard decorates a class."""

import time

import torch
from torch import nn


@torch.no_grad()
class Detector:
    def __init__(self, weights, device):
        self.device = device
        self.model = torch.load(weights, map_location=device).eval()

    def detect(self, image):
        image = torch.from_numpy(image).to(self.device).float() / 255.0
        prediction = self.model(image.unsqueeze(0))[0]
        return prediction[prediction[:, 4] > 0.25].cpu()


@torch.no_grad()
class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x):
        weights = (self.query(x) @ self.key(x).transpose(-1, -2)).softmax(-1)
        return weights @ self.value(x)


@torch.no_grad()
class Evaluator:
    def __init__(self, model, loader, device):
        self.model = model.to(device).eval()
        self.loader = loader
        self.device = device

    def run(self):
        correct = 0
        for images, labels in self.loader:
            output = self.model(images.to(self.device))
            correct += (output.argmax(1).cpu() == labels).sum().item()
        return correct / len(self.loader.dataset)


@torch.inference_mode()
class VideoUpscaler:
    def __init__(self, network, reader, writer):
        self.network = network.eval()
        self.reader = reader
        self.writer = writer

    def run(self):
        started = time.time()
        for frame in self.reader:
            tensor = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
            self.writer.write(self.network(tensor)[0].clamp(0, 255).byte().cpu())
        return time.time() - started


@torch.inference_mode()
class PlateReader:
    def __init__(self, checkpoint):
        self.model = torch.load(checkpoint).eval()

    def read(self, picture, tokenizer):
        logits = self.model(picture.unsqueeze(0))
        return tokenizer.decode(logits.softmax(-1))


@torch.inference_mode()
class ChatModel:
    def __init__(self, model, tokenizer):
        self.model = model
        self.tokenizer = tokenizer

    def reply(self, text, limit):
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        for _ in range(limit):
            logits = self.model(ids).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=-1)
        return self.tokenizer.decode(ids[0])
