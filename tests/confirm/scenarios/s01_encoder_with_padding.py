# An encoder in eval mode takes another path without gradients: padded positions come out as zeros.
# verdict: refuted fix_changes_results
# why: TransformerEncoder
# outputs: changed
import torch
from torch import nn

layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
model = nn.TransformerEncoder(layer, 2).eval()


def encode(x, padding):
    y = model(x, src_key_padding_mask=padding)  # begin, end
    return y


x = torch.randn(4, 10, 32)
padding = torch.zeros(4, 10, dtype=torch.bool)
padding[:, 6:] = True
print(encode(x, padding).shape)
