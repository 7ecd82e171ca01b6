# Grad mode is per thread: neither the measurement nor a guard reaches the worker.
# verdict: error not_measurable
# why: other threads
import torch
from torch import nn
from threading import Thread


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def predict(x):
    found = []
    worker = Thread(target=lambda: found.append(model(x)))  # begin
    worker.start()
    worker.join()  # end
    return found[0]


predict(torch.randn(16, 32))
