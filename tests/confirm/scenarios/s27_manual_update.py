# An update by hand is right under no_grad: the gradients are there.
# verdict: refuted gradients_flow
# why: by hand
# kind: train
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net()


def step(x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():  # begin
            p -= 0.1 * p.grad
            p.grad = None  # end


for _ in range(3):
    step(torch.randn(16, 32), torch.zeros(16, dtype=torch.long))
