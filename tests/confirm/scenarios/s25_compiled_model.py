# The model is compiled, the region around it is not.
# verdict: confirmed bit_identical
# slow
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = torch.compile(Net().eval(), backend="aot_eager")


def predict(x):
    return model(x).softmax(dim=1)  # begin, end


for _ in range(3):
    predict(torch.randn(16, 32))
