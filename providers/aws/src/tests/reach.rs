//! Where EC2 is not reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_ec2::config::Credentials;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::Inventory;
use egret_ports::provider::attach_one;
use tokio::sync::watch;

use crate::{Aws, AwsOptions, CallMetrics};

async fn failure(endpoint: String, loader: ConfigLoader) -> PortError {
    let nodes = [("a".into(), "aws:///eu-central-1a/i-0123456789abcdef0".into())].into();
    let inventory = Inventory { nodes, ..Inventory::default() };
    let (_, inventory) = watch::channel(Arc::new(inventory));
    let options = AwsOptions {
        endpoint: Some(endpoint),
        attempts: 1,
        attempt_timeout: Duration::from_millis(300),
        ..AwsOptions::default()
    };
    let provider = Aws::with(options, inventory, CallMetrics::default(), loader).await;
    let attached = attach_one(&provider, "203.0.113.1".parse().unwrap(), &"a".into()).await;
    attached.unwrap_err()
}

fn loader() -> ConfigLoader {
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "none", None, None, "test");
    let loader = aws_config::defaults(BehaviorVersion::latest());
    loader.credentials_provider(keys).region(Region::new("eu-central-1"))
}

#[tokio::test]
async fn without_credentials_it_says_how_to_get_some() {
    assert!(std::env::var_os("AWS_ACCESS_KEY_ID").is_none(), "unset AWS_ACCESS_KEY_ID");
    let loader = loader().credentials_provider(EnvironmentVariableCredentialsProvider::new());
    let error = failure("http://127.0.0.1:1".into(), loader).await;
    assert_eq!(error.class, ErrorClass::Denied, "{error}");
    assert!(error.to_string().contains("IRSA"), "{error}");
}

#[tokio::test]
async fn nobody_there_and_no_answer_in_time_are_transient() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let begun = Instant::now();
    for endpoint in ["http://127.0.0.1:1".into(), silent] {
        let error = failure(endpoint, loader()).await;
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
