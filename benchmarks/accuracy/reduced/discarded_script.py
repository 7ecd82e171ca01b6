"""Reduced from a trajectory-model script: after training, plots are made at module level."""

import matplotlib.pyplot as plt
import torch
from torch import nn

states = torch.load("states.pt")
model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4))
optimizer = torch.optim.Adam(model.parameters())

for epoch in range(100):
    optimizer.zero_grad()
    loss = ((model(states[:-1]) - states[1:]) ** 2).mean()
    loss.backward()
    optimizer.step()

torch.save(model.state_dict(), "latent.pt")
model.eval()
torch.no_grad()

state = states[:1]
path = [state]
for _ in range(50):
    state = model(state)
    path.append(state)

plt.plot([float(s[0, 0]) for s in path])
plt.show()
