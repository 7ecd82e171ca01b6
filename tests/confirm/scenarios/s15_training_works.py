# Nothing is wrong with this training.
# verdict: refuted gradients_flow
# why: 6 of 6 parameters got a gradient, 6 changed
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
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def train(x, y):
    for _ in range(3):  # begin
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # end


train(torch.randn(16, 32), torch.zeros(16, dtype=torch.long))
