# A service: it never ends by itself, and what was measured until then is told all the same.
# verdict: error timeout
# why: the region was called
# timeout: 8
# slow
import torch
from torch import nn
import time


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def predict(x):
    return model(x).argmax(dim=1)  # begin, end


while True:
    predict(torch.randn(16, 32))
    time.sleep(0.05)
