//! leela(1).
