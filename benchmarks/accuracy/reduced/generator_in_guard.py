"""Reduced from sequence taggers, streaming services and a checkpoint converter: results are yielded from a guarded block."""

import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, width, labels):
        super().__init__()
        self.rnn = nn.LSTM(width, width, batch_first=True)
        self.out = nn.Linear(width, labels)

    def forward(self, x):
        return self.out(self.rnn(x)[0])

    def ctc_decoding(self, logits):
        for row in logits.argmax(-1):
            yield torch.unique_consecutive(row)

    def predict_step(self, batch):
        with torch.no_grad():
            yield from self.ctc_decoding(self.forward(batch))


def train(model, loader, optimizer, criterion, probe):
    for x, y in loader:
        loss = criterion(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(next(model.predict_step(probe)))


class SpeechStream:
    def __init__(self, talker, codec):
        self.talker = talker
        self.codec = codec

    def stream(self, text):
        with torch.no_grad():
            state = self.talker.start(text)
            while not state.done:
                state = self.talker(state)
                yield self.codec(state.frame).cpu()


class WeightConverter:
    def __init__(self, rename):
        self.rename = rename

    def export(self, modules):
        with torch.no_grad():
            for module in modules:
                for name, weight in module.named_parameters():
                    yield self.rename(name), weight.clone()


def windows(model, series, width):
    """Scores of sliding windows, one at a time."""
    model.eval()
    with torch.inference_mode():
        for start in range(len(series) - width):
            yield model(series[start : start + width]).item()
