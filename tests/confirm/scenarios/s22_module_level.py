# A script without functions.
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
hits = 0
for _ in range(5):  # begin
    x = torch.randn(16, 32)
    hits += (model(x).argmax(dim=1) == 0).sum().item()  # end
print(hits)
