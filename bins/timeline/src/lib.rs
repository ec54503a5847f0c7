//! leela-timeline(8).
