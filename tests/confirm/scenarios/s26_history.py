# Every loss that is kept keeps its graph.
# verdict: confirmed bit_identical
# grows: 8452
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()
history = []


def validate(x, y):
    loss = nn.functional.cross_entropy(model(x), y)  # begin
    history.append(loss)  # end


for _ in range(6):
    validate(torch.randn(16, 32), torch.zeros(16, dtype=torch.long))
