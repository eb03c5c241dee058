"""Base class of the training losses, and the registry that ``loss.name`` chooses from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from nr3d.config import KEYS
from nr3d.errors import RegistrationError
from nr3d.models.registered import Registered


class Criterion(nn.Module):
    """Base class of training losses.

    A subclass names the model output that it needs (:attr:`model_loss`) and computes named terms
    and their total from it (:meth:`losses`). If it has learnable parameters, it also defines how
    they are saved (:meth:`states`) and optimised (:meth:`optimizers`). The engine, the training
    step and the checkpoints rely on nothing else.

    Attributes:
        name: name under which :func:`register_criterion` registered the class; empty if it did not.
        model_loss: ``loss`` of the model: ``'softmax'`` for logits, ``'triplet'`` for logits and
            features, ``'not3d'`` for logits, features and attention scores.
        batch_extras: names of the batch entries that :meth:`losses` uses besides ``pid``, such as
            ``'erased'``; they are tensors whose first dimension is the batch.
        settings: configuration keys that set keyword arguments of the class, by argument.

    Examples:
        >>> import torch
        >>> class LogitNorm(Criterion):
        ...     model_loss = "softmax"
        ...
        ...     def losses(self, outputs, batch):
        ...         (logits,) = outputs
        ...         size = logits.square().mean()
        ...         return size, {"size": size.detach()}
        >>> total, terms = LogitNorm().losses((torch.ones(2, 3),), {"pid": torch.tensor([0, 1])})
        >>> terms
        {'size': tensor(1.)}
    """

    name: ClassVar[str] = ""
    model_loss: ClassVar[str]
    batch_extras: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def configured(
        cls, num_classes: int, feature_dim: int, settings: Mapping[str, Any]
    ) -> Criterion:
        """Build the loss that a configuration describes.

        Args:
            num_classes: number of training identities, K.
            feature_dim: size of the model's feature, D.
            settings: values of the arguments in :attr:`settings`, by argument.

        Returns:
            Criterion: ``cls(num_classes, feature_dim, **settings)``, unless a subclass overrides
            this.
        """
        return cls(num_classes, feature_dim, **settings)

    def losses(
        self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        With several processes and ``gather_features``, the batch is their joint one.

        Args:
            outputs: outputs of the model, in float32; the logits (B, K) come first.
            batch: ``pid`` (B,), and the :attr:`batch_extras` that the data has.

        Returns:
            tuple: the total, a differentiable scalar, and the terms by name, unweighted and
            detached.
        """
        raise NotImplementedError

    def states(self) -> dict[str, nn.Module]:
        """Return the modules whose state a checkpoint keeps, by their key in it.

        By default, this is the whole loss as ``criterion`` if it has any state.
        """
        return {"criterion": self} if self.state_dict() else {}

    def optimizers(self, lr: float) -> dict[str, Optimizer]:
        """Return the optimizers of the loss's own parameters, by their key in a checkpoint.

        The training step steps them after the model's optimizer.

        Args:
            lr: learning rate of these parameters, the engine's ``center_lr``.

        Raises:
            NotImplementedError: if the loss has parameters and does not override this method.
        """
        if any(True for _ in self.parameters()):
            raise NotImplementedError(
                f"{type(self).__name__} has parameters and no optimizer for them: override "
                "optimizers()"
            )
        return {}

    @property
    def leaves_parameters_out(self) -> bool:
        """Whether some of the model's parameters may get no gradient from the total."""
        return False


CRITERIA: Registered[type[Criterion]] = Registered("loss")
"""Training losses, by their value of ``loss.name``."""

Kind = TypeVar("Kind", bound=type[Criterion])


def register_criterion(name: str) -> Callable[[Kind], Kind]:
    """Register a training loss, so that ``loss.name`` can choose it.

    Args:
        name: value of ``loss.name``.

    Returns:
        Callable: a decorator for a subclass of :class:`Criterion`.

    Raises:
        RegistrationError: if the name belongs to another class, the class is not a criterion, or
            its :attr:`Criterion.settings` name a configuration key that does not exist.

    Examples:
        >>> @register_criterion("size-of-the-logits")
        ... class LogitSize(Criterion):
        ...     model_loss = "softmax"
        >>> CRITERIA["size-of-the-logits"].name
        'size-of-the-logits'
        >>> CRITERIA.remove("size-of-the-logits")  # so that no other example sees it
    """

    def register(kind: Kind) -> Kind:
        if not (isinstance(kind, type) and issubclass(kind, Criterion)):
            raise RegistrationError(
                f"The loss {name!r} is {kind!r}, expected a subclass of nr3d.losses.Criterion."
            )
        if not hasattr(kind, "model_loss"):
            raise RegistrationError(
                f"The loss {name!r} ({kind.__name__}) does not say which output of the model it "
                "needs: set its model_loss to 'softmax', 'triplet' or 'not3d'."
            )
        unknown = [key for key in kind.settings.values() if key not in KEYS]
        if unknown:
            raise RegistrationError(
                f"The loss {name!r} ({kind.__name__}) is built with {', '.join(unknown)}, expected "
                "configuration keys that exist (nr3d.config.KEYS)."
            )
        CRITERIA.add(name, kind)
        kind.name = name
        return kind

    return register
