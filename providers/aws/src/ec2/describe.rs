//! The calls that read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::Filter;

use super::{Ec2, parse};
use crate::errors::CallFailure;
use crate::snapshot::{Elastic, Instance, Interface, InterfaceLimits, Subnet};

/// The most values of one filter (EC2 API reference, "Filter").
const VALUES: usize = 200;
/// The most that a page of any of these holds.
const PAGE: i32 = 1000;
/// The most instance types of a page.
const TYPES: usize = 100;

impl Ec2 {
    /// The instances of these ids that are there, with their zones' names.
    pub async fn instances(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Instance>, CallFailure> {
        let mut found = BTreeMap::new();
        for filter in filters("instance-id", ids) {
            let mut token = None;
            loop {
                let request = self.client.describe_instances().filters(filter.clone());
                let request = request.max_results(PAGE).set_next_token(token.take());
                let page = self.call("DescribeInstances", request.send()).await?;
                let instances = page.reservations().iter().flat_map(|of| of.instances());
                found.extend(instances.filter_map(parse::instance));
                token = page.next_token().filter(|token| !token.is_empty()).map(Into::into);
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The interfaces whose `name` (of a filter) is one of `values`.
    pub async fn interfaces(
        &self,
        name: &str,
        values: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Interface>, CallFailure> {
        let mut found = BTreeMap::new();
        for filter in filters(name, values) {
            let mut token = None;
            loop {
                let request = self.client.describe_network_interfaces().filters(filter.clone());
                let request = request.max_results(PAGE).set_next_token(token.take());
                let page = self.call("DescribeNetworkInterfaces", request.send()).await?;
                found.extend(page.network_interfaces().iter().filter_map(parse::interface));
                token = page.next_token().filter(|token| !token.is_empty()).map(Into::into);
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The subnets of these ids.
    pub async fn subnets(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Subnet>, CallFailure> {
        let mut found = BTreeMap::new();
        for filter in filters("subnet-id", ids) {
            let mut token = None;
            loop {
                let request = self.client.describe_subnets().filters(filter.clone());
                let request = request.max_results(PAGE).set_next_token(token.take());
                let page = self.call("DescribeSubnets", request.send()).await?;
                found.extend(page.subnets().iter().filter_map(parse::subnet));
                token = page.next_token().filter(|token| !token.is_empty()).map(Into::into);
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The limits of these instance types; one that EC2 does not know is absent.
    pub async fn limits(
        &self,
        kinds: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, InterfaceLimits>, CallFailure> {
        let kinds: Vec<_> = kinds.iter().cloned().collect();
        let mut found = BTreeMap::new();
        // No more types than a page holds: then there is one page.
        for kinds in kinds.chunks(TYPES) {
            let request = self.client.describe_instance_types();
            let request = request.filters(filter("instance-type", kinds.to_vec()));
            let page = self.call("DescribeInstanceTypes", request.send()).await?;
            found.extend(page.instance_types().iter().filter_map(parse::limits));
        }
        Ok(found)
    }

    /// The account's Elastic IPs among `addresses`. There are no pages.
    pub async fn elastic(
        &self,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> Result<BTreeMap<Ipv4Addr, Elastic>, CallFailure> {
        let texts: BTreeSet<_> = addresses.iter().map(ToString::to_string).collect();
        let mut found = BTreeMap::new();
        for filter in filters("public-ip", &texts) {
            let request = self.client.describe_addresses().filters(filter);
            let answer = self.call("DescribeAddresses", request.send()).await?;
            found.extend(answer.addresses().iter().filter_map(parse::elastic));
        }
        Ok(found)
    }

    /// The account's Elastic IPs with all of these tags.
    pub async fn tagged(
        &self,
        tags: &BTreeMap<String, String>,
    ) -> Result<BTreeSet<Ipv4Addr>, CallFailure> {
        let filters =
            tags.iter().map(|(key, value)| filter(&format!("tag:{key}"), vec![literal(value)]));
        let request = self.client.describe_addresses().set_filters(Some(filters.collect()));
        let answer = self.call("DescribeAddresses", request.send()).await?;
        Ok(answer
            .addresses()
            .iter()
            .filter_map(parse::elastic)
            .map(|(address, _)| address)
            .collect())
    }
}

/// EC2 takes `*` and `?` in values of filters as wildcards, unless a backslash is before them
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>).
fn literal(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, '*' | '?' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

fn filters(name: &str, values: &BTreeSet<String>) -> Vec<Filter> {
    let values: Vec<_> = values.iter().cloned().collect();
    values.chunks(VALUES).map(|values| filter(name, values.to_vec())).collect()
}

fn filter(name: &str, values: Vec<String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values)).build()
}
