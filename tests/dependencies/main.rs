//! The rules of what depends on what hold, and each of them is seen to fail.

use std::sync::OnceLock;

use serde_json::{Value, json};
use tests::dependencies::{direction, heavy, licences, lints, metadata, unsafe_places};
use tests::workspace;

/// What cargo says, asked once.
fn real() -> Value {
    static REAL: OnceLock<Value> = OnceLock::new();
    REAL.get_or_init(|| metadata(workspace()).expect("cargo tells")).clone()
}

const NONE: [String; 0] = [];

#[test]
fn dependencies_point_one_way() {
    assert_eq!(direction(&real()), NONE);
}

#[test]
fn every_licence_can_be_shipped() {
    assert_eq!(licences(&real()), NONE);
}

#[test]
fn a_heavy_dependency_belongs_to_one_process() {
    assert_eq!(heavy(&real()), NONE);
}

#[test]
fn every_member_takes_the_lints_and_unsafe_code_has_two_places() {
    let real = real();
    assert_eq!(lints(&real).unwrap(), NONE);
    assert_eq!(unsafe_places(&real).unwrap(), NONE);
}

/// The package of a name.
fn package<'a>(metadata: &'a mut Value, name: &str) -> &'a mut Value {
    let packages = metadata["packages"].as_array_mut().expect("there are packages");
    packages.iter_mut().find(|package| package["name"] == name).expect("it is a package")
}

fn id(metadata: &mut Value, name: &str) -> Value {
    package(metadata, name)["id"].clone()
}

/// Puts an edge into the graph that was resolved.
fn link(metadata: &mut Value, from: &str, to: &Value, kind: Value) {
    let from = id(metadata, from);
    let nodes = metadata["resolve"]["nodes"].as_array_mut().expect("there is a graph");
    let node = nodes.iter_mut().find(|node| node["id"] == from).expect("it is in the graph");
    node["deps"]
        .as_array_mut()
        .expect("a node has edges")
        .push(json!({"pkg": to, "dep_kinds": [{"kind": kind}]}));
}

#[test]
fn a_wrong_edge_is_named() {
    for (from, to, kind) in [
        ("common", "sockets", Value::Null),
        ("common", "hop", Value::Null),
        ("sockets", "common", json!("dev")),
        ("mapped", "common", Value::Null),
        ("hop", "leela-udp", Value::Null),
        ("leela-udp", "leela-timeline", Value::Null),
        ("leela", "leela-dmproc", Value::Null),
        ("leela-udp", "mapped", Value::Null),
        ("leela-collectd", "tests", json!("dev")),
        ("common", "tests", json!("build")),
        ("tests", "bench", Value::Null),
        ("leela-xmpp", "bench", json!("dev")),
        ("common", "never_seen", Value::Null),
    ] {
        let mut planted = real();
        let edges = package(&mut planted, from)["dependencies"].as_array_mut().unwrap();
        edges.push(json!({"name": to, "kind": kind, "path": "/somewhere"}));
        assert_eq!(direction(&planted), [format!("{from} must not depend on {to}")]);
    }
}

#[test]
fn a_member_in_an_unknown_place_is_named() {
    let mut planted = real();
    let manifest = format!("{}/extra/Cargo.toml", planted["workspace_root"].as_str().unwrap());
    package(&mut planted, "leela-udp")["manifest_path"] = json!(manifest);
    assert!(
        direction(&planted).contains(&"leela-udp lies in \"extra\", where no member is known".to_owned())
    );
}

#[test]
fn a_licence_that_is_not_listed_is_named_where_it_is_shipped() {
    for (from, kind, want) in [
        ("common", Value::Null, &["planted: licence \"GPL-3.0-only\" is not on the list".to_owned()][..]),
        ("leela-udp", json!("build"), &["planted: licence \"GPL-3.0-only\" is not on the list".to_owned()]),
        ("common", json!("dev"), &[]),
        ("tests", Value::Null, &[]),
    ] {
        let mut planted = real();
        let package = json!({"id": "planted#1", "name": "planted", "license": "GPL-3.0-only"});
        planted["packages"].as_array_mut().expect("there are packages").push(package);
        link(&mut planted, from, &json!("planted#1"), kind);
        assert_eq!(licences(&planted), want, "{from}");
    }
}

#[test]
fn a_heavy_dependency_of_another_process_is_named() {
    let mut planted = real();
    let aes = id(&mut planted, "aes");
    link(&mut planted, "leela-udp", &aes, Value::Null);
    let faults = heavy(&planted);
    assert!(
        faults.contains(&"leela-udp must not depend on aes, which is leela-collectd's".to_owned()),
        "{faults:?}"
    );
    let mut planted = real();
    link(&mut planted, "leela-udp", &aes, json!("dev"));
    assert_eq!(heavy(&planted), NONE);
}
