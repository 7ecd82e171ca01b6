"""Reduced from a small generator script."""

import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"

generator = nn.Sequential(nn.ConvTranspose2d(64, 32, 4), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4))
generator.load_state_dict(torch.load("model.pt"))
generator.to(device)
generator.eval()

noise = torch.randn((64, 64, 1, 1), device=device)

with torch.no_grad() and torch.cuda.amp.autocast():
    fake = generator(noise)

torch.save(fake[:32], "fake.pt")
