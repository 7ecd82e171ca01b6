# Without gradients an LSTM takes another kernel: equal but for the last bits.
# verdict: confirmed within_tolerance
import torch
from torch import nn

model = nn.LSTM(32, 64, num_layers=2, batch_first=True).eval()


def run(x):
    y, (h, c) = model(x)  # begin
    return y, h  # end


print(len(run(torch.randn(8, 20, 32))))
