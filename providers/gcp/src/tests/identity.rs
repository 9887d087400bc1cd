//! The ways to an account.

use std::io::Write as _;

use egret_ports::error::ErrorClass;
use egret_ports::provider::{Provider, attach_one};
use google_cloud_auth::credentials::service_account::{self, AccessSpecifier};
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

/// As Google's default credentials read the file that `GOOGLE_APPLICATION_CREDENTIALS` names.
fn signer(key: Value) -> Credentials {
    let scopes = AccessSpecifier::from_scopes([SCOPE]);
    service_account::Builder::new(key).with_access_specifier(scopes).build().unwrap()
}

/// The client signs its tokens itself: nothing is exchanged, and the double verifies each.
#[tokio::test]
async fn a_key_file_drives_the_provider() {
    install_tls();
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let key = double.control("POST", "/egret/key", &json!({}));
    let provider = double.provider_with(signer(key.clone())).await;
    let (address, node) = (double.external[0], double.node("a1"));
    attach_one(&provider, address, &node).await.unwrap();
    let observed = provider.observe(&[address].into(), &[node.clone()].into()).await.unwrap();
    assert_eq!(observed.attachments[&address].node, node);
    let calls = double.control("GET", "/egret/calls", &Value::Null);
    let calls = calls["calls"].as_array().unwrap();
    assert!(calls.iter().all(|call| call["principal"] == key["client_email"]), "{calls:?}");
}

#[tokio::test]
async fn a_key_that_is_not_the_accounts_is_refused() {
    install_tls();
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let [key, other] = [(); 2].map(|()| double.control("POST", "/egret/key", &json!({})));
    for (field, value) in [
        ("private_key", other["private_key"].clone()),
        ("private_key_id", json!("0123456789")),
        ("client_email", json!("nobody@egret.iam.gserviceaccount.com")),
        ("private_key", json!("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n")),
    ] {
        let mut wrong = key.clone();
        wrong[field] = value;
        assert!(!is_let_in(&double, signer(wrong)).await, "{field}");
    }
    assert!(is_let_in(&double, signer(key)).await);
}

#[tokio::test]
async fn without_an_account_it_says_what_to_check() {
    let double = GceDouble::start();
    double.set("auth", json!({"required": true}));
    let nobody = google_cloud_auth::credentials::anonymous::Builder::new().build();
    assert!(!is_let_in(&double, nobody).await);
}
