//! leela-host(8).
