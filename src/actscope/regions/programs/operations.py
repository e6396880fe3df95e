"""How each operation of PyTorch depends on its tensors: affine, a largest value, an activation, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType

__all__ = ["Dependence", "dependence"]


class Dependence(Enum):
    """How the output of an operation depends on the tensors that it is given."""

    JOINTLY_LINEAR = "linear in all of its tensors together, and zero where they are zero"
    AFFINE_IN_FIRST = "affine in its first tensor, the others being fixed"
    AFFINE_IN_ONE = "affine in any one of its tensors, the others being fixed"
    AFFINE_SUM = "affine in its first tensor and in one factor of a product that is added to it"
    CHOICE = "the largest or the smallest of several values"
    ACTIVATION = "an elementwise activation"
    SHAPE = "fixed by the shape of its tensors, as long as they are finite"
    READS_VALUE = "a number that leaves PyTorch"
    OTHER = "not piecewise linear, or not known to be"


_NAMES: Mapping[Dependence, str] = MappingProxyType(
    {
        # what only moves, repeats, adds or averages values
        Dependence.JOINTLY_LINEAR: """
            add sub neg where sum mean cumsum view _unsafe_view reshape _reshape_alias permute transpose t expand squeeze
            unsqueeze slice select narrow unbind cat concat stack hstack vstack split
            split_with_sizes chunk unsafe_split unsafe_chunk clone _to_copy contiguous alias detach lift lift_fresh flip
            roll repeat tile diagonal movedim unfold im2col col2im pixel_shuffle pixel_unshuffle
            channel_shuffle avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
            _adaptive_avg_pool2d _adaptive_avg_pool3d reflection_pad1d reflection_pad2d reflection_pad3d
            replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d
            upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d
            upsample_bicubic2d upsample_trilinear3d tril triu trace rot90 constant_pad_nd rsub
            copy diff fill zero slice_scatter select_scatter index_put index_add index_copy scatter scatter_add
            native_channel_shuffle lerp _upsample_bilinear2d_aa _upsample_bicubic2d_aa
        """,
        Dependence.AFFINE_IN_FIRST: """
            native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_no_update
            cudnn_batch_norm miopen_batch_norm div true_divide masked_fill index_select index gather take grid_sampler_2d grid_sampler_3d
        """,
        Dependence.AFFINE_IN_ONE: """
            mul mm bmm mv dot convolution _convolution mkldnn_convolution linear matmul
        """,
        Dependence.AFFINE_SUM: "addmm addmv addbmm baddbmm addcmul",
        Dependence.CHOICE: """
            max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices max_pool1d_with_indices
            adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax amin max min maximum minimum
        """,
        Dependence.ACTIVATION: """
            relu relu6 leaky_relu _prelu_kernel prelu rrelu_with_noise threshold hardtanh clamp clamp_min clamp_max
            hardsigmoid softshrink hardshrink hardswish elu celu selu gelu silu mish softplus sigmoid tanh log_sigmoid_forward
            log_sigmoid abs
        """,
        Dependence.SHAPE: """
            zeros_like ones_like empty_like full_like new_zeros new_ones new_full new_empty
            new_empty_strided sym_size rand_like randn_like randint_like
            isnan isinf isposinf isneginf
        """,
        Dependence.READS_VALUE: "_local_scalar_dense item is_nonzero equal allclose numpy tolist __array__ __dlpack__ data_ptr",
    }
)


@cache
def _table() -> dict[str, Dependence]:
    return {name: kind for kind, names in _NAMES.items() for name in names.split()}


def dependence(name: str) -> Dependence:
    """How the operation of this name (`relu`, `addmm`; a trailing underscore of the in-place spelling left out) depends on its tensors.

    Example:
        >>> dependence("addmm").name, dependence("softmax").name
        ('AFFINE_SUM', 'OTHER')
    """
    return _table().get(name, Dependence.OTHER)
