//! What goes wrong: killed supervisors, kernels that lack parts, calls that are refused.
