"""Networks of the published tables, as factories: `admmfpga compress admmfpga.compress.models:lenet5`."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def lenet5(conv1: int = 20, conv2: int = 50, fc1: int = 500) -> nn.Sequential:
    """LeNet-5 as the pruning papers count it: 20-50-500-10, 430,500 weights without biases.

    Takes (N, 1, 28, 28) images in 0..1.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, conv1, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(conv1, conv2, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * conv2, fc1),
            relu3=nn.ReLU(),
            fc2=nn.Linear(fc1, 10),
        )
    )


def lenet_300_100() -> nn.Sequential:
    """Three fully connected layers, 784-300-100-10; takes (N, 1, 28, 28)."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(784, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, 10),
        )
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalization and a shortcut, a 1x1 convolution where the shape changes."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(source, target, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(target)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(target, target, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(target)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or source != target:
            self.shortcut = nn.Sequential(nn.Conv2d(source, target, 1, stride, bias=False), nn.BatchNorm2d(target))

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu1(self.bn1(self.conv1(images)))
        return self.relu2(self.bn2(self.conv2(hidden)) + self.shortcut(images))


def resnet8(width: int = 16, classes: int = 10, channels: int = 3) -> nn.Sequential:
    """ResNet-8 for 32 x 32 images: one residual block of width, 2*width and 4*width each."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            bn=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            block1=ResidualBlock(width, width, 1),
            block2=ResidualBlock(width, 2 * width, 2),
            block3=ResidualBlock(2 * width, 4 * width, 2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(4 * width, classes),
        )
    )


def resnet18(width: int = 64, classes: int = 10, channels: int = 3) -> nn.Sequential:
    """ResNet-18 for 32 x 32 images: a 3x3 convolution, then two residual blocks of 1, 2, 4 and 8 times `width`."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, width, 3, 1, 1, bias=False), bn=nn.BatchNorm2d(width), relu=nn.ReLU()
    )
    source = width
    for stage in range(4):
        target = width << stage
        layers[f"block{2 * stage + 1}"] = ResidualBlock(source, target, 2 if stage else 1)
        layers[f"block{2 * stage + 2}"] = ResidualBlock(target, target, 1)
        source = target
    layers |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(source, classes))
    return nn.Sequential(layers)


def vgg16(width: int = 64, classes: int = 10, channels: int = 3) -> nn.Sequential:
    """VGG-16 for 32 x 32 images: thirteen 3x3 convolutions with batch normalization, one fully connected layer."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    source, number = channels, 0
    for stage, (factor, count) in enumerate(((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)), 1):
        for _ in range(count):
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(source, factor * width, 3, 1, 1, bias=False)
            layers[f"bn{number}"] = nn.BatchNorm2d(factor * width)
            layers[f"relu{number}"] = nn.ReLU()
            source = factor * width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers |= OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(source, classes))
    return nn.Sequential(layers)
