# What the unchanged program does not reproduce is left out of the comparison; the rest has to be equal.
# verdict: confirmed bit_identical
# why: left out
import os

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
    y = model(x)  # begin
    noise = torch.frombuffer(bytearray(os.urandom(64)), dtype=torch.uint8).float()
    level = noise.mean().item()  # end
    return y.sum().item(), level


for _ in range(2):
    print(predict(torch.ones(16, 32)))
