"""Reduced from a sequence-to-sequence translation project: the switch is written as a plain statement."""

import torch
from torch import nn


class Translator(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocab)

    def forward(self, tokens):
        hidden, _ = self.rnn(self.embed(tokens))
        return self.out(hidden)


def translate_corpus(model, batches, vocabulary):
    model.eval()
    torch.no_grad()

    sentences = []
    for source in batches:
        scores = model(source)
        sentences.append(vocabulary.decode(scores.argmax(-1)))
    return sentences


def perplexity(model, batches, criterion):
    """Held-out loss of a language model."""
    model.eval()
    torch.no_grad()
    total, count = 0.0, 0
    for source, target in batches:
        scores = model(source)
        loss = criterion(scores.flatten(0, 1), target.flatten())
        total += loss.item()
        count += 1
    return total / count
