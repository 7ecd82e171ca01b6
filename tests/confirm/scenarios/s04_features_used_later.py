# With the guard the program runs to its end, and the backbone silently stops learning.
# verdict: refuted graph_used
# why: a backward pass reads
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        return self.body(x)


backbone, head = Net(), nn.Linear(4, 2)
optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.1)


def features_of(x):
    return backbone(x).relu()  # begin, end


for _ in range(3):
    features = features_of(torch.randn(16, 32))
    loss = nn.functional.cross_entropy(head(features), torch.zeros(16, dtype=torch.long))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
