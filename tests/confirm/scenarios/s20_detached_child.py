# The program leaves a process behind, in a session of its own.
# verdict: confirmed bit_identical
# note: sleep 300.25
import subprocess

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


subprocess.Popen(["sleep", "300.25"], start_new_session=True)
predict(torch.randn(16, 32))
