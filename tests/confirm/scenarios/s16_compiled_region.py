# Inside a compiled frame nothing can be measured, and the probe must not break it.
# verdict: error not_measurable
# why: TORCHDYNAMO_DISABLE=1
# slow
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


@torch.compile(backend="eager")
def predict(x):
    y = model(x)  # begin
    return y.argmax(dim=1)  # end


for _ in range(3):
    print(predict(torch.ones(16, 32)).sum().item())
