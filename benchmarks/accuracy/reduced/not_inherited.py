"""Reduced from batch-inference tools that hand their forward to worker threads inside a guard."""

import concurrent.futures

import torch


def process_batch(batch, model, device):
    output = model(batch.to(device))
    return output.argmax(dim=1).cpu()


def count_digits(model, loader, device):
    model.eval()
    counts = [0] * 10
    with torch.no_grad():
        with concurrent.futures.ThreadPoolExecutor() as executor:
            futures = [executor.submit(process_batch, batch, model, device) for batch, _ in loader]
            for future in concurrent.futures.as_completed(futures):
                for digit in future.result():
                    counts[digit.item()] += 1
    return counts


class Codec:
    def __init__(self, net):
        self.net = net

    def encode_pair(self, frame, reference):
        return self.net(frame, reference)

    def measure(self, pairs):
        self.net.eval()
        with torch.no_grad():
            with concurrent.futures.ThreadPoolExecutor(max_workers=4) as executor:
                jobs = [executor.submit(self.encode_pair, frame, reference) for frame, reference in pairs]
                return [job.result() for job in jobs]


def save(image, path):
    torch.save(image, path)


def convert(net, loader, out):
    with torch.no_grad(), concurrent.futures.ThreadPoolExecutor() as pool:
        for image, name in loader:
            result = net(image).cpu()
            pool.submit(save, result, f"{out}/{name}.pt")
