"""Reduced from segmentation front ends and robot simulations: a context object is entered and dropped at once."""

import torch


class PromptSegmenter:
    def __init__(self, build, prompts, threshold):
        torch.autocast("cuda", dtype=torch.bfloat16).__enter__()
        torch.inference_mode().__enter__()
        self.model = build()
        self.prompts = prompts
        self.threshold = threshold

    def segment(self, image):
        found = {}
        for prompt in self.prompts:
            scores, masks = self.model(image, prompt)
            found[prompt] = masks[scores > self.threshold].cpu()
        return found


def simulate(env, policy, steps):
    # everything from here on is inference
    torch.inference_mode().__enter__()
    obs, _ = env.reset()
    for _ in range(steps):
        action = policy(obs)
        obs, reward, done, _ = env.step(action)
    return obs


def evaluate(build, load, paths, judge):
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.inference_mode().__enter__()
    model = build()
    scores = []
    for path in paths:
        mask = model(load(path))
        scores.append(judge(path, mask.sigmoid() > 0.5))
    return sum(scores) / len(scores)
