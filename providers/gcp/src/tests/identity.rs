//! The ways to an account that need no key.

use std::io::Write as _;

use egret_ports::error::ErrorClass;
use egret_ports::provider::Provider;
use google_cloud_auth::credentials::{Credentials, external_account, mds};
use serde_json::{Value, json};

use super::double::GceDouble;
use crate::compute::install_tls;
use crate::provider::SCOPE;

async fn is_let_in(double: &GceDouble, credentials: Credentials) -> bool {
    let provider = double.provider_with(credentials).await;
    let found = provider.discover(&[("pool".to_owned(), "shop".to_owned())].into()).await;
    match found {
        Ok(found) => found.len() == 2,
        Err(error) => {
            assert_eq!(error.class, ErrorClass::Denied, "{error}");
            assert!(error.to_string().contains("check the controller's credentials"), "{error}");
            false
        }
    }
}

/// As the chart writes it.
fn external(double: &GceDouble, token: &std::path::Path) -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", double.url()),
        "credential_source": {"file": token},
    })
}

#[tokio::test]
async fn a_projected_token_is_exchanged() {
    install_tls();
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let mut token = tempfile::NamedTempFile::new().unwrap();
    let credentials = |config: Value| {
        external_account::Builder::new(config).with_scopes([SCOPE]).build().unwrap()
    };
    // {"sub": "system:serviceaccount:egret-system:egret-controller"}, unsigned.
    let claims =
        "eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6ZWdyZXQtc3lzdGVtOmVncmV0LWNvbnRyb2xsZXIifQ";
    token.write_all(format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln").as_bytes()).unwrap();
    assert!(is_let_in(&double, credentials(external(&double, token.path()))).await);
    let calls = double.control("GET", "/egret/calls", &Value::Null);
    let principal = calls["calls"][0]["principal"].as_str().unwrap();
    assert!(principal.contains("egret-controller"), "{principal}");
}

#[tokio::test]
async fn the_metadata_server_gives_the_nodes_account() {
    install_tls();
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let credentials = mds::Builder::default().with_endpoint(double.url()).with_scopes([SCOPE]);
    assert!(is_let_in(&double, credentials.build().unwrap()).await);
}

#[tokio::test]
async fn without_an_account_it_says_what_to_check() {
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let nobody = google_cloud_auth::credentials::anonymous::Builder::new().build();
    assert!(!is_let_in(&double, nobody).await);
}
