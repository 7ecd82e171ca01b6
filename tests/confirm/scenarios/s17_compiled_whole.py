# The same, and no graph break is allowed; run as the message of s16 says.
# verdict: confirmed bit_identical
# env: TORCHDYNAMO_DISABLE=1
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


@torch.compile(backend="eager", fullgraph=True)
def predict(x):
    y = model(x)  # begin
    return y.argmax(dim=1)  # end


for _ in range(3):
    print(predict(torch.ones(16, 32)).sum().item())
