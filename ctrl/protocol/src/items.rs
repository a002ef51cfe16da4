//! Inputs and outputs as the service writes them.
