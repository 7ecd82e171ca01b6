# The program's exit code is its own affair, as long as the guard does not change it.
# verdict: confirmed bit_identical
# code: 3
import sys

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


predict(torch.randn(16, 32))
sys.exit(3)
