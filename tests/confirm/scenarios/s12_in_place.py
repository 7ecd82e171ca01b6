# The region changes its output and its input in place.
# verdict: confirmed bit_identical
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def scores(x):
    y = model(x)  # begin
    y += 1
    x.mul_(2)
    return y  # end


x = torch.randn(16, 32)
for _ in range(2):
    print(scores(x).sum().item(), x.sum().item())
