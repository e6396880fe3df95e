"""The loss of every model of a stack on a batch, and its gradient by all parameters, without automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from actscope.training.stacking.elementwise import Activation, FixedNormalization, Normalization, Rectifier
from actscope.training.stacking.first import DenseFirst, First, SparseFirst
from actscope.training.stacking.inputs import SparseExamples
from actscope.training.stacking.layout import Layout, runs
from actscope.training.stacking.losses import CrossEntropy
from actscope.training.stacking.products import SMALL, Bias, Product, SmallProducts

__all__ = ["Averages", "Pass"]

Between = Activation | FixedNormalization | Normalization | Rectifier


class Averages:
    """Running means and variances of a stack's batch normalizations, by level: a vector each, zeros where there is none."""

    def __init__(self, layout: Layout, like: Tensor) -> None:
        self._layout = layout
        sizes = [rows[-1].stop for rows in layout.rows]
        self.mean, self.var, self.momentum, self.eps = ([like.new_zeros(n) for n in sizes] for _ in range(4))
        self.fill()

    def fill(self) -> None:
        """Takes them from the models."""
        layout = self._layout
        for place, member in enumerate(layout.members):
            for level, layer in enumerate(member.hidden):
                if layer.norm is not None:
                    rows = layout.rows[level][place]
                    assert layer.norm.running_mean is not None
                    assert layer.norm.running_var is not None
                    assert layer.norm.momentum is not None
                    self.mean[level][rows] = layer.norm.running_mean
                    self.var[level][rows] = layer.norm.running_var
                    self.momentum[level][rows] = layer.norm.momentum
                    self.eps[level][rows] = layer.norm.eps

    def read(self, n_batches: int) -> None:
        """Writes them into the models, which have seen so many batches since."""
        for place, member in enumerate(self._layout.members):
            for level, layer in enumerate(member.hidden):
                if layer.norm is not None:
                    rows = self._layout.rows[level][place]
                    assert layer.norm.running_mean is not None
                    assert layer.norm.running_var is not None
                    assert layer.norm.num_batches_tracked is not None
                    layer.norm.running_mean.copy_(self.mean[level][rows])
                    layer.norm.running_var.copy_(self.var[level][rows])
                    layer.norm.num_batches_tracked += n_batches


class Pass:
    """Forward and backward through a stack for batches of one size.

    Args:
        layout: the models and where their parameters are.
        parameters: (n_parameters,) all parameters.
        gradients: (n_parameters,) takes their gradients.
        averages: of batch normalizations.
        examples: all of them, with the inputs in use, (n, n_inputs) or sparse as the layout has inputs first.
        labelled: which row of the labels is each model's, by place.
        n_examples: of a batch.
        training: whether models are in training mode, else in eval mode, in which there is only `evaluate`.

    Attributes:
        losses: (n_models,) mean cross-entropy of each model on the last batch, by place.
        n_right: (n_models,) int64, examples of it classified correctly.
        spread: what does the independent products of a level; one after the other unless told otherwise.
    """

    def __init__(
        self,
        layout: Layout,
        parameters: Tensor,
        gradients: Tensor,
        averages: Averages,
        examples: Tensor | SparseExamples,
        *,
        labelled: Sequence[int],
        n_examples: int,
        training: bool = True,
    ) -> None:
        self._layout, self._parameters, self._gradients = layout, parameters, gradients
        self._training = training
        self.spread: Callable[[Sequence[Callable[[], None]]], None] = _in_turn
        n_rows = [rows[-1].stop for rows in layout.rows]
        self._z = [parameters.new_empty(n, n_examples) for n in n_rows]
        self._h = [parameters.new_empty(n, n_examples) for n in n_rows]
        self._d = [parameters.new_empty(n, n_examples) for n in n_rows]
        self._y = [
            {place: z[rows] for place, rows in enumerate(of)} for z, of in zip(self._z, layout.rows, strict=True)
        ]
        self._logits = parameters.new_empty(layout.logit_rows[-1].stop, n_examples)
        self._d_logits = torch.empty_like(self._logits)
        self.losses = parameters.new_empty(len(layout.members))
        self.n_right = torch.empty(len(layout.members), dtype=torch.int64, device=parameters.device)

        members, places = layout.members, range(len(layout.members))
        vectors = (parameters, gradients)
        self._first: First
        if isinstance(examples, SparseExamples):
            self._first = SparseFirst(layout, examples, vectors, self._z[0], self._d[0])
        else:
            self._first = DenseFirst(layout, examples, vectors, self._z[0], self._d[0])
        self._first_bias = self._bias(list(places), 0, self._z[0], self._d[0], layout.rows[0])
        self._linear_classifiers = [
            (layout.rows[0][place], layout.logit_rows[place]) for place in places if not members[place].hidden
        ]
        self._elementwise = [self._between(level, averages) for level in range(layout.depth)]
        self._products: list[list[Product | SmallProducts]] = [[]]
        self._biases: list[list[Bias]] = [[]]
        for level in range(1, layout.depth + 1):
            self._products.append(self._into(level))
            hidden = [place for place in places if len(members[place].hidden) > level]
            self._biases.append(
                [self._bias(hidden, level, self._z[level], self._d[level], layout.rows[level])] if hidden else []
            )
        self._logit_biases = [
            self._bias(run, -1, self._logits, self._d_logits, layout.logit_rows)
            for run in runs([place for place in places if members[place].hidden], lambda place: None)
        ]
        self._losses = [self._loss(run, labelled) for run in runs(places, lambda place: members[place].n_classes)]

    def __call__(self, rows: Tensor, labels: Tensor) -> None:
        """Fills the gradients, `losses` and `n_right` for a batch.

        Args:
            rows: (n_examples,) int64, which of the examples.
            labels: (n_kinds, n_examples) int64.
        """
        self._forward(rows)
        for loss in self._losses:
            loss(labels)
        self._backward()

    def evaluate(self, rows: Tensor, labels: Tensor | None = None) -> None:
        """Fills what `pre_activations` gives, and with labels `losses` and `n_right`; arguments are those of a call."""
        self._forward(rows)
        if labels is not None:
            for loss in self._losses:
                loss(labels)

    def pre_activations(self, place: int, level: int) -> Tensor:
        """(width, n_examples) what goes into an activation of the model at `place`, for the last batch; the next one overwrites it."""
        return self._y[level][place]

    def _forward(self, rows: Tensor) -> None:
        self._first.forward(rows)
        self._first_bias.forward()
        for level in range(self._layout.depth + 1):
            self.spread([product.forward for product in self._products[level]])
            for bias in self._biases[level]:
                bias.forward()
            for operation in self._elementwise[level] if level < self._layout.depth else ():
                operation.forward()
        for bias in self._logit_biases:
            bias.forward()
        for of_level, of_logits in self._linear_classifiers:
            self._logits[of_logits] = self._z[0][of_level]

    def _backward(self) -> None:
        for bias in self._logit_biases:
            bias.backward()
        for level in range(self._layout.depth, -1, -1):
            for operation in reversed(self._elementwise[level]) if level < self._layout.depth else ():
                operation.backward()
            for bias in self._biases[level]:
                bias.backward()
            self.spread([product.backward for product in self._products[level]])
        for rows, logit_rows in self._linear_classifiers:
            self._d[0][rows] = self._d_logits[logit_rows]
        self._first_bias.backward()
        self._first.backward()

    def _bias(self, places: list[int], level: int, out: Tensor, d_out: Tensor, rows: list[slice]) -> Bias:
        members = self._layout.members
        ends = [
            self._layout.slot(place, f"{members[place].layers[level].name}.bias") for place in (places[0], places[-1])
        ]
        span = self._layout.span(*ends)
        taken = slice(rows[places[0]].start, rows[places[-1]].stop)
        return Bias(self._parameters[span][:, None], self._gradients[span], out[taken], d_out[taken])

    def _into(self, level: int) -> list[Product | SmallProducts]:
        """Products from level - 1 into `level`, or into the logits of models that are not as deep."""
        members, layout = self._layout.members, self._layout

        def shape(place: int) -> tuple[bool, int, int]:
            layer = members[place].layers[level]
            return layer.activation is None, layer.width, layer.n_inputs

        products: list[Product | SmallProducts] = []
        small: dict[bool, list[tuple[int, ...]]] = {}
        compiled = self._parameters.device.type == "cpu" and self._parameters.dtype in (torch.float32, torch.float64)
        for run in runs([place for place, member in enumerate(members) if len(member.hidden) >= level], shape):
            to_logits, width, n_inputs = shape(run[0])
            name = [f"{members[place].layers[level].name}.weight" for place in (run[0], run[-1])]
            span = layout.span(layout.slot(run[0], name[0]), layout.slot(run[-1], name[1]))
            into = layout.logit_rows if to_logits else layout.rows[level]
            out, d_out = (self._logits, self._d_logits) if to_logits else (self._z[level], self._d[level])
            out_rows = slice(into[run[0]].start, into[run[-1]].stop)
            in_rows = slice(layout.rows[level - 1][run[0]].start, layout.rows[level - 1][run[-1]].stop)
            if compiled and len(run) == 1 and width * n_inputs <= SMALL:
                row = (span.start, width, n_inputs, in_rows.start, out_rows.start)
                small.setdefault(to_logits, []).append(row)
                continue
            shapes = ((width, n_inputs), (n_inputs, out.shape[1]), (width, out.shape[1]))
            views = [
                view.view(len(run), *size) if len(run) > 1 else view.view(size)
                for view, size in (
                    (self._parameters[span], shapes[0]),
                    (self._gradients[span], shapes[0]),
                    (self._h[level - 1][in_rows], shapes[1]),
                    (self._d[level - 1][in_rows], shapes[1]),
                    (out[out_rows], shapes[2]),
                    (d_out[out_rows], shapes[2]),
                )
            ]
            products.append(Product(*views))
        for to_logits, table in small.items():
            into_both = (self._logits, self._d_logits) if to_logits else (self._z[level], self._d[level])
            before = (self._h[level - 1], self._d[level - 1])
            products.append(SmallProducts(table, self._parameters, self._gradients, *before, *into_both))
        return products

    def _between(self, level: int, averages: Averages) -> list[Between]:
        layout, members = self._layout, self._layout.members
        operations: list[Between] = []

        def kind(place: int) -> tuple[bool, str | int]:
            layer = members[place].layers[level]
            assert layer.activation is not None
            own = any(True for _ in layer.activation.parameters())
            return layer.norm is not None, place if own else repr(layer.activation)

        for run in runs([place for place, member in enumerate(members) if len(member.hidden) > level], kind):
            layer = members[run[0]].layers[level]
            rows = slice(layout.rows[level][run[0]].start, layout.rows[level][run[-1]].stop)
            y, out, d = self._z[level][rows], self._h[level][rows], self._d[level][rows]
            if layer.norm is not None:
                normalization = self._normalization(run, level, rows, averages)
                operations.append(normalization)
                y = normalization.y
                for place in run:
                    of_place = layout.rows[level][place]
                    self._y[level][place] = y[of_place.start - rows.start : of_place.stop - rows.start]
            assert layer.activation is not None
            if type(layer.activation) is nn.ReLU:
                operations.append(Rectifier(y, out, d))
            else:
                slots = {
                    name: layout.slot(run[0], f"{layer.activation_name}.{name}")
                    for name, _ in layer.activation.named_parameters()
                }
                own = {name: slot.of(self._parameters) for name, slot in slots.items()}
                gradients = {name: slot.of(self._gradients) for name, slot in slots.items()}
                operations.append(Activation(layer.activation, own, gradients, y, out, d, self._training))
        return operations

    def _normalization(
        self, run: list[int], level: int, rows: slice, averages: Averages
    ) -> Normalization | FixedNormalization:
        layout, members = self._layout, self._layout.members
        spans = [
            layout.span(*(layout.slot(p, f"{members[p].layers[level].norm_name}.{name}") for p in (run[0], run[-1])))
            for name in ("weight", "bias")
        ]
        z = self._z[level][rows]
        weight, bias = (self._parameters[span][:, None] for span in spans)
        mean, var, momentum, eps = (
            values[level][rows] for values in (averages.mean, averages.var, averages.momentum, averages.eps)
        )
        if not self._training:
            return FixedNormalization(z, torch.empty_like(z), weight, bias, mean, var, eps)
        d_weight, d_bias = (self._gradients[span] for span in spans)
        d = self._d[level][rows]
        return Normalization(z, torch.empty_like(z), d, weight, bias, d_weight, d_bias, mean, var, momentum, eps)

    def _loss(self, run: list[int], labelled: Sequence[int]) -> CrossEntropy:
        rows = slice(self._layout.logit_rows[run[0]].start, self._layout.logit_rows[run[-1]].stop)
        shape = (len(run), self._layout.members[run[0]].n_classes, self._logits.shape[1])
        kinds = [labelled[place] for place in run]
        return CrossEntropy(
            self._logits[rows].view(shape),
            self._d_logits[rows].view(shape),
            kinds[0] if len(set(kinds)) == 1 else torch.tensor(kinds, device=self._logits.device),
            self.losses[run[0] : run[-1] + 1],
            self.n_right[run[0] : run[-1] + 1],
        )


def _in_turn(operations: Sequence[Callable[[], None]]) -> None:
    for operation in operations:
        operation()
