//! What the API is, for programs.

/// The description, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("../openapi.json");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_route_is_described_and_all_that_is_described_is_there() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: Vec<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        // As the routes stand in the sources.
        let sources = [include_str!("v2/mod.rs"), include_str!("health.rs")].concat();
        let mut routes: Vec<String> = sources
            .split(".route(\"")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0.replace("{*", "{")))
            .collect();
        routes.extend(["/", "/page/{file}", "/v1/version"].map(str::to_owned));
        for when in ["past24/", "pastweek/", "{year}/{month}/{day}/", "{year}/{month}/", ""] {
            routes.extend(["/v1/", "/v1/data/"].map(|base| format!("{base}{when}{{key}}")));
        }
        routes.sort();
        assert_eq!(described, routes);
    }
}
