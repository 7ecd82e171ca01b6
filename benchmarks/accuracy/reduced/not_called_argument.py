"""Reduced from a hosted prediction script, a summarisation trainer and a weight-editing experiment."""

import torch


def predict_fn(data, model):
    with torch.no_grad(True):
        output = model.forward(data)
    return output


class Summariser:
    def __init__(self, model, loader, logger):
        self.model = model
        self.loader = loader
        self.logger = logger

    def validate(self):
        self.model.eval()
        total = 0.0
        for items in self.loader:
            with torch.no_grad(True):
                outputs = self.model(**items)
                loss = outputs.loss
                total += loss.item()
        self.logger.info("perplexity %s", torch.exp(torch.tensor(total / len(self.loader))))


def edit_weights(model, cases, gamma):
    params = model.state_dict()
    for case in cases:
        with torch.no_grad(True):
            before = torch.matmul(params["2.weight"], torch.matmul(params["0.weight"], case) + params["0.bias"])
            params["2.weight"] = torch.cat((params["2.weight"], gamma * before), 1)
            model.load_state_dict(params)
