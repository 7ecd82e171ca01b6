# Features made in inference mode may not be trained on.
# verdict: refuted fix_unsafe
# why: Inference tensors cannot be saved for backward
# options: guard="inference_mode"
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


backbone, head = Net().eval(), nn.Linear(4, 2)


def features_of(x):
    return backbone(x).detach()  # begin, end


features = features_of(torch.randn(16, 32))
nn.functional.cross_entropy(head(features), torch.zeros(16, dtype=torch.long)).backward()
