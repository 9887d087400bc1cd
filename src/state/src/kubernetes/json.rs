use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::ObjectId;

/// Parses what the schema of a CRD may have let through all the same.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        // The field says where; the object has one line.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&place).unwrap_or(&message);
        format!("{path}: {message}: correct the object")
    })
}

/// The status of an object whose spec is a person's: where it cannot be read it is written anew,
/// and the spec counts all the same.
pub fn read_status<T: DeserializeOwned + Default>(id: &ObjectId, status: Option<Value>) -> T {
    let Some(status) = status.filter(|status| !status.is_null()) else { return T::default() };
    let read = serde_path_to_error::deserialize(status).map_err(|error| {
        let path = format!("status.{}", error.path());
        format!("{}: {}", path.trim_end_matches('.'), error.inner())
    });
    status_or_new(id, read)
}

/// The status, or an empty one where it is of a wrong form.
pub fn status_or_new<T: Default>(id: &ObjectId, read: Result<T, String>) -> T {
    read.unwrap_or_else(|error| {
        tracing::warn!(object = %id, %error, "the status cannot be read: it is written anew");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use egret_core::model::PoolStatus;
    use serde_json::json;

    use super::super::kind::ResourceKind;
    use super::*;

    #[test]
    fn a_status_of_a_wrong_form_counts_as_an_empty_one() {
        let id = ObjectId::cluster(ResourceKind::Pool, "partners");
        let read = |status: Value| read_status::<PoolStatus>(&id, Some(status));
        let good = PoolStatus { observed_generation: 7, ..PoolStatus::default() };
        assert_eq!(read(json!(good)), good);
        for wrong in [json!({"observedGeneration": 7, "addresses": ["x"]}), json!("x"), json!(null)]
        {
            assert_eq!(read(wrong), PoolStatus::default());
        }
    }
}
