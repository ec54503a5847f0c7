//! leela-collectd(8).
