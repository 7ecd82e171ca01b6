"""Reduced from language-model, diffusion, GAN and graph-agent projects: two contexts joined by a boolean operator."""

import torch


def complete(model, batch, limit):
    with torch.no_grad() and torch.backends.cuda.sdp_kernel(enable_flash=True):
        ids = batch["input_ids"]
        mask = batch["attention_mask"]
        for _ in range(limit):
            logits = model(input_ids=ids, attention_mask=mask).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=-1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=-1)
    return ids


class DiffusionTrainer:
    def __init__(self, model, ema, optimizer, device):
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self.device = device

    def fit(self, loader, valid, every):
        for step, batch in enumerate(loader):
            self.optimizer.zero_grad()
            loss = self.model(batch.to(self.device))
            loss.backward()
            self.optimizer.step()
            self.ema.update()
            if step % every == 0:
                with torch.no_grad() and self.ema.average_parameters():
                    total = 0.0
                    for item in valid:
                        total += self.model(item.to(self.device)).item()
                    print("validation", total)


def span_scores(model, loader, device):
    predictions = []
    with torch.no_grad() and torch.cuda.amp.autocast():
        for batch in loader:
            output = model(batch["input_ids"].to(device), batch["attention_mask"].to(device))
            predictions.append(output.start_logits.argmax(-1).cpu())
    return torch.cat(predictions)


def rollout(agent, environments, max_steps):
    agent.eval()
    records = []
    for env in environments:
        with torch.no_grad() and env.deterministic():
            obs = env.reset()
            for _ in range(max_steps):
                action = agent(obs)
                obs, reward, done = env.step(action)
                records.append(reward)
    agent.train()
    return records


class Rollouts:
    def __init__(self, value_model, timer):
        self.value_model = value_model
        self.timer = timer

    def advantages(self, obs, rewards, gamma):
        with torch.no_grad() and self.timer.measure("gae"):
            self.value_model.eval()
            values = self.value_model(obs).squeeze(-1)
            following = torch.cat([values[1:], values[-1:]])
            return rewards + gamma * following - values
