//! What the API is, for programs.

/// The description, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("../openapi.json");
