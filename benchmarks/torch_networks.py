"""ResNet-18, ResNet-20 and DenseNet-BC-100-12 in plain PyTorch, channels last: the peer of `benchmarks.architectures`.

    python -m benchmarks.torch_networks resnet18 --batch-size 64 --dtype float32 --steps 5

prints one line of JSON, the seconds of each step, and how many parameters the network has. It runs as a program of its
own, so that neither framework's threads wait for the other's.
"""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import nn
from torch.nn import functional


def convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, bias=False)


def normalization(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, by a projection or (option A) by empty maps."""

    def __init__(self, inputs: int, outputs: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = convolution(inputs, outputs, 3, stride), normalization(outputs)
        self.conv2, self.norm2 = convolution(outputs, outputs, 3), normalization(outputs)
        self.stride, self.missing = stride, outputs - inputs
        self.shortcut = None
        if projection and (stride > 1 or inputs != outputs):
            self.shortcut = nn.Sequential(convolution(inputs, outputs, 1, stride), normalization(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.missing:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return functional.relu(y + x, inplace=True)


class DenseLayer(nn.Module):
    """Normalise, 1x1 to four times the growth rate, normalise, 3x3 to the growth rate, and concatenate."""

    def __init__(self, inputs: int, growth_rate: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = normalization(inputs), convolution(inputs, 4 * growth_rate, 1)
        self.norm2, self.conv2 = normalization(4 * growth_rate), convolution(4 * growth_rate, growth_rate, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(functional.relu(self.norm1(x), inplace=True))
        y = self.conv2(functional.relu(self.norm2(y), inplace=True))
        return torch.cat([x, y], 1)


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def residual(stem: list[nn.Module], stages: list[tuple[int, int]], projection: bool) -> nn.Module:
    layers, channels = stem, stages[0][0]
    for stage, (filters, repeats) in enumerate(stages):
        for index in range(repeats):
            layers.append(BasicBlock(channels, filters, 2 if stage and not index else 1, projection))
            channels = filters
    return nn.Sequential(*layers, *head(channels))


def resnet18() -> nn.Module:
    stem = [convolution(3, 64, 7, 2), normalization(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return residual(stem, [(64, 2), (128, 2), (256, 2), (512, 2)], projection=True)


def resnet_cifar() -> nn.Module:
    stem = [convolution(3, 16, 3), normalization(16), nn.ReLU(inplace=True)]
    return residual(stem, [(16, 3), (32, 3), (64, 3)], projection=False)


def densenet_cifar() -> nn.Module:
    growth_rate, channels = 12, 24
    layers: list[nn.Module] = [convolution(3, channels, 3)]
    for block in range(3):
        if block:
            layers += [normalization(channels), nn.ReLU(inplace=True), convolution(channels, channels // 2, 1)]
            layers.append(nn.AvgPool2d(2))
            channels //= 2
        for _ in range(16):
            layers.append(DenseLayer(channels, growth_rate))
            channels += growth_rate
    return nn.Sequential(*layers, normalization(channels), nn.ReLU(inplace=True), *head(channels))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": resnet18,
    "resnet_cifar": resnet_cifar,
    "densenet_cifar": densenet_cifar,
}


def main(
    network: Annotated[str, typer.Argument(help=f"One of {', '.join(NETWORKS)}.")],
    side: Annotated[int, typer.Option(help="Height and width of the images.")] = 32,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 64,
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 by autocast.")] = "float32",
    train: Annotated[bool, typer.Option(help="Training steps, or forward passes.")] = True,
    steps: Annotated[int, typer.Option(help="Steps to time, after two that are not.")] = 5,
) -> None:
    """Prints the seconds of each step as JSON."""
    torch.manual_seed(0)
    model = NETWORKS[network]().to(memory_format=torch.channels_last).train(train)
    images = torch.rand(batch_size, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch_size,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def precision() -> contextlib.AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()

    def training_step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with precision():
            logits = model(images)
        loss = functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def forward_pass() -> float:
        with precision():
            return model(images).float().softmax(-1)[0, 0].item()

    seconds = []
    for _ in range(2 + steps):
        begin = time.perf_counter()
        training_step() if train else forward_pass()
        seconds.append(time.perf_counter() - begin)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({"seconds": seconds[2:], "parameters": parameters}))


if __name__ == "__main__":
    typer.run(main)
