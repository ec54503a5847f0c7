//! leela-udp(8).
