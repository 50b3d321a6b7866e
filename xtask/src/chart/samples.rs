//! The samples in config/samples: whole objects, with fields that exist.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::render;

/// Checks every sample; fields of custom resources against the schemas of config/crd. Returns how many objects there are.
pub fn check(root: &Path) -> Result<usize> {
    let mut definitions = Vec::new();
    for name in super::yaml_files(&root.join("config/crd"))? {
        definitions.extend(render::read_documents(&root.join("config/crd").join(name))?);
    }
    let mut count = 0;
    for name in super::yaml_files(&root.join("config/samples"))? {
        for object in render::read_documents(&root.join("config/samples").join(&name))? {
            render::name_of(&object).with_context(|| name.clone())?;
            if let Some(schema) = schema_of(&definitions, &object) {
                check_fields(schema, &object, "").with_context(|| format!("config/samples/{name}"))?;
            }
            count += 1;
        }
    }
    ensure!(count > 0, "config/samples holds nothing");
    Ok(count)
}

/// The schema of a custom resource of ours; `None` for kinds of others.
fn schema_of<'a>(definitions: &'a [Value], object: &Value) -> Option<&'a Value> {
    let (group, version) = object["apiVersion"].as_str()?.split_once('/')?;
    let definition = definitions.iter().find(|definition| {
        definition["spec"]["group"] == group && definition["spec"]["names"]["kind"] == object["kind"]
    })?;
    let versions = definition["spec"]["versions"].as_array()?;
    let found = versions.iter().find(|candidate| candidate["name"] == version)?;
    Some(&found["schema"]["openAPIV3Schema"])
}

fn check_fields(schema: &Value, value: &Value, path: &str) -> Result<()> {
    let (Some(known), Some(fields)) = (schema["properties"].as_object(), value.as_object()) else {
        return Ok(());
    };
    for (field, inner) in fields {
        // What every object has stands in no schema.
        if path.is_empty() && matches!(field.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let path = format!("{path}.{field}");
        let schema = known.get(field).with_context(|| format!("there is no field {path}"))?;
        check_fields(schema, inner, &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let schema = json!({"properties": {"spec": {"properties": {"size": {"type": "string"}, "labels": {"type": "object"}}}}});
        let object =
            |spec: Value| json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}, "spec": spec});
        check_fields(&schema, &object(json!({"size": "1Gi", "labels": {"any": "thing"}})), "").unwrap();
        let error = check_fields(&schema, &object(json!({"siez": "1Gi"})), "").unwrap_err();
        assert!(error.to_string().contains(".spec.siez"));
    }
}
