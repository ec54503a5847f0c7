//! leela-http(8): the REST API. Metrics go in by it; history comes out, from storage, and live values, from dmproc.
