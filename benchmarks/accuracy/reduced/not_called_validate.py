"""Reduced from driving, colourisation and segmentation projects: parentheses are missing."""

import torch


def train(model, loader, val_set, criterion, optimizer, print_every, device):
    step = 0
    for image, state, label in loader:
        prediction = model(image.to(device), state.to(device))
        optimizer.zero_grad()
        loss = criterion(prediction, label.to(device))
        loss.backward()
        optimizer.step()
        step += 1
        if step % print_every == 0:
            with torch.no_grad:
                model.eval()
                total = 0.0
                for image_v, state_v, label_v in val_set:
                    guess = model(image_v.to(device), state_v.to(device))
                    total += criterion(guess, label_v.to(device)).item()
                print("validation", total / len(val_set))
            model.train()


def colour_quality(model, loader, criterion, device):
    with torch.no_grad:
        losses = []
        for gray, colour in loader:
            guess = model(gray.to(device))
            losses.append(criterion(guess, colour.to(device)).item())
    return sum(losses) / len(losses)


def mean_iou(model, loader, device, meter):
    model.eval()
    with torch.inference_mode:
        for images, target in loader:
            output = model(images.to(device))
            _, prediction = torch.max(output, 1)
            meter.update(prediction.cpu().numpy(), target.numpy())
    return meter.value()
