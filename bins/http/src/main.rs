//! leela-http(8): the REST API.

fn main() {}
