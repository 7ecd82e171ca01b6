# requires_grad_() hides the error, and nothing is learnt.
# verdict: confirmed no_gradient
# why: 3 backward calls, 3 optimizer steps: 0 of 6 parameters got a gradient, 0 changed; with gradients enabled 6 of 6
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
    with torch.no_grad():
        for _ in range(3):  # begin
            loss = nn.functional.cross_entropy(model(x), y)
            loss.requires_grad_(True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()  # end


train(torch.randn(16, 32), torch.zeros(16, dtype=torch.long))
