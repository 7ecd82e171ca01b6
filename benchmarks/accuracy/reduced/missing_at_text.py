"""Reduced from a text-to-SQL runner and a concept-based classifier."""

import torch


class SchemaRun:
    def __init__(self, model, device):
        self.model = model
        self.device = device

    torch.no_grad()
    def schema_embeddings(self, loader):
        table = torch.empty(len(loader.dataset), self.model.width)
        for index, batch in enumerate(loader):
            rows = self.model.encode_schema(batch.to(self.device))
            table[index * loader.batch_size : (index + 1) * loader.batch_size] = rows
        return table

    torch.no_grad
    def score(self, batch):
        return self.model(batch.to(self.device)).softmax(-1)
