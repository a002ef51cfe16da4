//! Paths and modes of the tree.
