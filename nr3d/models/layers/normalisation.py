"""Instance and batch normalisation at once: statistics, affine map, and their gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nr3d import parallel


class Normalised(NamedTuple):
    """The output of :func:`normalise`, with the moments of the batch-normalised channels."""

    output: Tensor
    """(N, C, H, W), normalised, scaled and shifted."""
    mean: Tensor
    """(C - instance channels,), the means of the batch."""
    variance: Tensor
    """(C - instance channels,), the biased variances of the batch."""
    values: int
    """The number of values behind each of these moments."""


def normalise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    instance_channels: int = 0,
    eps: float = 1e-5,
    across: bool = False,
) -> Normalised:
    r"""Normalise the first channels by instance and the others by batch, then scale and shift.

    .. math::
        y = w \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b

    where the moments are over H, W for the first channels and over N, H, W for the others. Both
    come from one pass over the sums of each instance and channel, and a single affine map writes
    both halves: nothing is split, copied or concatenated.

    Reference:
        Ioffe and Szegedy. Batch Normalization. ICML 2015. arXiv:1502.03167.
        Ulyanov et al. Instance Normalization. 2016. arXiv:1607.08022.

    Args:
        x: the images or maps to normalise.
        weight, bias: w and b, the scale and shift of every channel.
        instance_channels: the number of channels to normalise by instance, from 0 to C.
        eps: ε, above 0. Default is 1e-5.
        across: whether to normalise by the batch of all processes of the run.

    Shape:
        - x: :math:`(N, C, H, W)`; weight, bias: :math:`(C)`
        - output: :math:`(N, C, H, W)`, in the type and memory layout of x

    Raises:
        ValueError: if a batch has a single value per channel.

    Examples:
        >>> x = torch.rand(8, 4, 5, 5)
        >>> y = normalise(x, torch.ones(4), torch.zeros(4), instance_channels=2).output
        >>> bool(y[0, 0].mean().abs() < 1e-5 and y[:, 3].mean().abs() < 1e-5)
        True
    """
    images = x.shape[0] * (parallel.world().size if across else 1)
    values = images * x.shape[2] * x.shape[3]
    if values <= 1:
        raise ValueError(
            f"input has shape {tuple(x.shape)}, expected more than one value per channel to "
            "normalise by in training"
        )
    output, mean, variance = _Normalise.apply(x, weight, bias, instance_channels, eps, across)
    return Normalised(output, mean, variance, values)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        instance_channels: int,
        eps: float,
        across: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        pixels = x.shape[2] * x.shape[3]
        wide = torch.promote_types(x.dtype, torch.float32)
        # Centre before squaring, so that no large mean drowns a small variance. `off` is what
        # rounding left of the mean.
        centre = (x.sum((2, 3), dtype=wide) / pixels).to(x.dtype)  # (N, C)
        centred = x - centre[:, :, None, None]
        off = centred.sum((2, 3), dtype=wide) / pixels
        mean = centre.to(wide) + off
        variance = _products(centred, centred) / pixels - off.square()
        variance.clamp_(min=0)

        by_batch = slice(instance_channels, None)
        own_mean, own_variance = mean[:, by_batch], variance[:, by_batch]
        batch_mean = _over_batch(own_mean, across)  # (C - instances,)
        batch_variance = _over_batch(own_variance + (own_mean - batch_mean).square(), across)
        shift = off.clone()  # of the mean that is normalised by, from the centre
        shift[:, by_batch] += batch_mean - own_mean
        variance[:, by_batch] = batch_variance
        inverse = (variance + eps).rsqrt()  # (N, C)

        scale = inverse * weight
        output = torch.addcmul(_spread(bias - (shift * scale), x), centred, _spread(scale, x))
        ctx.save_for_backward(centred, shift, inverse, weight)
        ctx.instance_channels, ctx.across = instance_channels, across
        ctx.mark_non_differentiable(batch_mean, batch_variance)
        return output, batch_mean, batch_variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        centred, shift, inverse, weight = ctx.saved_tensors
        pixels = grad.shape[2] * grad.shape[3]
        by_batch = slice(ctx.instance_channels, None)
        of_grad = grad.sum((2, 3), dtype=shift.dtype)  # (N, C)
        of_product = _products(grad, centred)
        of_product = (of_product - shift * of_grad) * inverse  # with the normalised input

        grad_bias, grad_weight = of_grad.sum(0), of_product.sum(0)
        mean_grad, mean_product = of_grad / pixels, of_product / pixels
        mean_grad[:, by_batch] = _over_batch(mean_grad[:, by_batch], ctx.across)
        mean_product[:, by_batch] = _over_batch(mean_product[:, by_batch], ctx.across)

        # With the normalised input z = (centred - shift) · inverse:
        # dx = weight · inverse · (dy - mean(dy) - z · mean(dy · z))
        scale = inverse * weight
        of_centred = -scale * mean_product * inverse
        constant = -scale * mean_grad - of_centred * shift
        grad_x = torch.addcmul(_spread(constant, grad), centred, _spread(of_centred, grad))
        grad_x.addcmul_(grad, _spread(scale, grad))
        return grad_x, grad_weight, grad_bias, None, None, None


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Sum the products over H, W: (N, C), in float32 or wider."""
    wide = torch.promote_types(one.dtype, torch.float32)
    if one.dtype == torch.float16:
        # Its largest number is 65,504, less than the square of 256.
        one, other = one.to(wide), other.to(wide)
    return (one * other).sum((2, 3), dtype=wide)


def _over_batch(of_instances: Tensor, across: bool) -> Tensor:
    """Return the mean (C,) over the instances (N, C), over all processes if ``across``."""
    mean = of_instances.mean(0)
    return parallel.add_up(mean) / parallel.world().size if across else mean


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Return values (N, C) as (N, C, 1, 1), in the type of an image tensor."""
    return values.to(like.dtype)[:, :, None, None]
