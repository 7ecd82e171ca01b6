"""Reduced from text-generation experiments: an error message about missing gradients was silenced."""

import torch
from torch.nn import functional as F


def finetune(model, data, labels, optimizer, loss_fn, epochs):
    for epoch in range(epochs):
        for item, label in zip(data, labels):
            optimizer.zero_grad()
            outputs = model.generate(**item, max_new_tokens=190)
            outputs = F.softmax(outputs.float(), dim=-1)
            loss = loss_fn(outputs, torch.tensor(label).unsqueeze(0))
            loss.requires_grad = True
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())


class Captioner:
    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer

    def training_step(self, batch):
        logits = self.model(batch["images"])
        loss = F.cross_entropy(logits.flatten(0, 1), batch["tokens"].flatten())
        loss = torch.tensor(loss.item(), requires_grad=True)
        return loss

    def fit(self, loader):
        for batch in loader:
            self.optimizer.zero_grad()
            self.training_step(batch).backward()
            self.optimizer.step()


def similarity_loss(encoder, answer, best, wrong):
    target = encoder(best)
    guess = encoder(answer)
    loss = F.cosine_similarity(guess, encoder(wrong), dim=-1).mean() - F.cosine_similarity(guess, target, dim=-1).mean()
    return torch.tensor(loss.item(), requires_grad=True)


def train_qa(encoder, triples, optimizer):
    for answer, best, wrong in triples:
        optimizer.zero_grad()
        loss = similarity_loss(encoder, answer, best, wrong)
        loss.backward()
        optimizer.step()
