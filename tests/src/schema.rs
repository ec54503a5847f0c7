//! JSON Schema, as much of it as the description of the API uses.

use serde_json::Value;

/// What of `value` does not fit `schema`; `document` is where references lead.
///
/// # Errors
/// With the place and what is wrong there.
pub fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{at}: {what}: {value}"));
    let Some(fields) = schema.as_object() else { return wrong("the schema is no object".into()) };
    for (word, rule) in fields {
        match word.as_str() {
            "$ref" => {
                let pointer = rule.as_str().and_then(|path| path.strip_prefix('#')).unwrap_or_default();
                match document.pointer(pointer) {
                    Some(schema) => fits(document, schema, value, at)?,
                    None => return wrong(format!("no schema {rule}")),
                }
            }
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|name| is_of(value, name.as_str().unwrap_or_default())) {
                    return wrong(format!("it is not of type {rule}"));
                }
            }
            "const" if rule != value => return wrong(format!("it is not {rule}")),
            "enum" if !rule.as_array().is_some_and(|values| values.contains(value)) => {
                return wrong(format!("it is none of {rule}"));
            }
            "anyOf" => {
                let all = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                let tried: Vec<_> = all.iter().map(|schema| fits(document, schema, value, at)).collect();
                if !tried.iter().any(Result::is_ok) {
                    return wrong(format!("it fits none of {tried:?}"));
                }
            }
            "minimum" | "maximum" => {
                let (value, bound) = (value.as_f64(), rule.as_f64());
                if let (Some(value), Some(bound)) = (value, bound)
                    && (if word == "minimum" { value < bound } else { value > bound })
                {
                    return wrong(format!("{word} {bound}"));
                }
            }
            "minItems" | "maxItems" | "minLength" => {
                let length = value.as_array().map(Vec::len).or_else(|| Some(value.as_str()?.chars().count()));
                let bound = rule.as_u64().unwrap_or(0) as usize;
                if length
                    .is_some_and(|length| if word == "maxItems" { length > bound } else { length < bound })
                {
                    return wrong(format!("{word} {bound}"));
                }
            }
            "required" => {
                for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        return wrong(format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        fits(document, schema, value, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                let known = fields.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if *rule == Value::Bool(false) {
                        return wrong(format!("there is no {name}"));
                    }
                    fits(document, rule, value, &format!("{at}.{name}"))?;
                }
            }
            "items" | "prefixItems" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    let schema = if word == "items" { Some(rule) } else { rule.get(place) };
                    if let Some(schema) = schema {
                        fits(document, schema, item, &format!("{at}[{place}]"))?;
                    }
                }
            }
            "const" | "enum" | "description" | "default" => {}
            word => return wrong(format!("the word {word} is not known here")),
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_found() {
        let document = json!({ "defs": { "pair": { "type": "array", "minItems": 2, "prefixItems": [{ "type": "integer" }, {}] } } });
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": { "a": { "$ref": "#/defs/pair" }, "b": { "anyOf": [{ "const": 1 }, { "enum": ["x"] }] }, "c": { "type": ["number", "null"], "maximum": 5 } },
        });
        for (value, want) in [
            (json!({ "a": [1, "x"] }), true),
            (json!({ "a": [1, "x"], "b": 1, "c": null }), true),
            (json!({ "a": [1.5, "x"] }), false),
            (json!({ "a": [1] }), false),
            (json!({}), false),
            (json!({ "a": [1, 1], "d": 1 }), false),
            (json!({ "a": [1, 1], "b": "y" }), false),
            (json!({ "a": [1, 1], "c": 6 }), false),
            (json!([]), false),
        ] {
            let got = fits(&document, &schema, &value, "$");
            assert_eq!(got.is_ok(), want, "{value}: {got:?}");
        }
    }
}
