"""Reduced from a retrieval exercise: passages and questions are embedded with a pretrained encoder."""

import torch


def embed_passages(passages, model, tokenizer, device="cpu"):
    model.eval()
    torch.no_grad()

    inputs = tokenizer(passages, return_tensors="pt", padding=True).to(device)
    return model(**inputs).last_hidden_state[:, 0]


def embed_questions(titles, bodies, model, tokenizer, device="cpu"):
    model.eval()
    torch.no_grad()

    inputs = tokenizer(list(zip(titles, bodies)), return_tensors="pt", padding=True).to(device)
    return model(**inputs).last_hidden_state[:, 0]


def embed_study(model, dataset, device, out_dir):
    # evaluation mode for both splits
    model.eval()
    torch.no_grad()
    for key in sorted(dataset.keys()):
        sample = dataset[key].to(device)
        embedding = model.encoder(sample)
        torch.save(embedding, f"{out_dir}/{key}.pt")
