# A guard across a yield would act on the consumer, too.
# verdict: error not_measurable
# why: yield
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


model = Net().eval()


def predictions(batches):
    for x in batches:  # begin
        yield model(x).argmax(dim=1)  # end


list(predictions([torch.randn(16, 32)]))
