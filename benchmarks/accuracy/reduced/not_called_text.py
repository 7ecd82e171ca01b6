"""Reduced from text-classification and meta-learning experiments."""

import torch
from sklearn.metrics import classification_report


def report(model, dataset, categories):
    truth, guesses = [], []
    for sample in dataset:
        label = sample.pop("labels")
        truth.append(label)
        with torch.no_grad:
            output = model(**sample)
        guesses.append(output.logits.argmax(-1).item())
    print(classification_report(truth, guesses, target_names=categories))


class FewShot:
    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer

    def run_task(self, task, is_train):
        inner = self.model(task.support)["loss"]
        if is_train:
            outer = self.model(task.query)["loss"]
            self.optimizer.zero_grad()
            outer.backward()
            self.optimizer.step()
        else:
            with torch.no_grad:
                outer = self.model(task.query)["loss"]
        return {"inner": inner.item(), "outer": outer.item()}


def verb_embedding(embedder, verb):
    with torch.inference_mode:
        return embedder(verb)


def test_step(model, x, y, loss_fn):
    model.eval()
    with torch.inference_mode:
        prediction = model(x)
        return loss_fn(prediction, y).item()
