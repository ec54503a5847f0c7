//! leela-dmproc(8).
