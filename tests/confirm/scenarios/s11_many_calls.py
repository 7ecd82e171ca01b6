# Calls after the first three are counted, and now and then looked at.
# verdict: confirmed bit_identical
# calls: 5000
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


x = torch.randn(4, 32)
for _ in range(5000):
    predict(x)
