# The caller holds a guard already.
# verdict: refuted already_off
# why: in all 3 calls
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def predict(x):
    return model(x).argmax(dim=1)  # begin, end


with torch.no_grad():
    for _ in range(3):
        predict(torch.randn(16, 32))
