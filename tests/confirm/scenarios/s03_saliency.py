# The gradient of the input is what is wanted.
# verdict: refuted fix_unsafe
# why: does not require grad
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def saliency(x):
    x = x.clone().requires_grad_()  # begin
    score = model(x).max(dim=1).values.sum()
    score.backward()
    return x.grad.abs()  # end


print(saliency(torch.randn(8, 32)).shape)
