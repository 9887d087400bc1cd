//! CEL expressions and rules that several kinds share.
//!
//! Each sentence is that of `egret-state`, which checks the same objects where there is no API
//! server; a test applies bad objects to both and compares. Only functions that Kubernetes 1.33
//! has are used.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrBool,
};

use super::edit::{CelRule, at, rules};

/// The longest text of an address: IPv6 with an IPv4 address at its end.
const ADDRESS_LENGTH: i64 = 45;
const CIDR_LENGTH: i64 = ADDRESS_LENGTH + 4;

/// An IPv4 address in IPv6 form, which no function of CEL takes for an address.
pub(super) fn mapped(text: &str) -> String {
    format!("({text}.lowerAscii().startsWith('::ffff:') && isIP({text}.substring(7)))")
}

/// ` is an IPv4 address in IPv6 form` for `text`, of which `address` is the address.
pub(super) fn mapped_sentence(text: &str, address: &str) -> String {
    format!("{text} + ' is an IPv4 address in IPv6 form: write ' + {address}.substring(7)")
}

/// True where `self` has only characters that can be seen.
const VISIBLE: &str = "self.matches('^[!-~]*$')";

/// Refuses what a person cannot see in a copied text, by `rule`.
pub(super) fn visible(rule: &str) -> CelRule {
    let says = "\"'\" + self + \"' has a space or a character that cannot be seen: type it anew\"";
    CelRule::makes(rule, says)
}

pub(super) const NO_ADDRESS: &str =
    "' is not an IP address: write it like 203.0.113.17 or 2001:db8:5::11'";

/// Makes a string an IP address.
pub(super) fn address(schema: &mut JSONSchemaProps) {
    let mapped = mapped("self");
    schema.max_length = Some(ADDRESS_LENGTH);
    schema.format = None;
    let given = format!("!{VISIBLE} || isIP(self) || {mapped}");
    let given = CelRule::makes(given, format!("self + {NO_ADDRESS}"));
    let plain = CelRule::makes(format!("!{mapped}"), mapped_sentence("self", "self"));
    rules(schema, [visible(VISIBLE), given, plain]);
}

/// The rules of a CIDR in `self`, where `when` is true.
pub(super) fn cidr_rules(when: &str) -> [CelRule; 2] {
    let address = "self.split('/')[0]";
    let mapped = mapped(address);
    let sentence = "isIP(self) \
         ? self + ' is an address, not a CIDR: write ' + self + (ip(self).isUnspecified() \
         ? '/0' : ip(self).family() == 4 ? '/32' : '/128') \
         : self + ' is not a CIDR: write it like 198.51.100.0/24 or 2001:db8:6::/64'";
    let plain = mapped_sentence("self", address)
        + " + (self.contains('/') ? ' and a prefix that is 96 less' : '')";
    [
        CelRule::makes(format!("!({when}) || !{VISIBLE} || isCIDR(self) || {mapped}"), sentence),
        CelRule::makes(format!("!({when}) || !{mapped}"), plain),
    ]
}

/// Makes a string a CIDR; bits beyond the prefix are allowed.
pub(super) fn cidr(schema: &mut JSONSchemaProps) {
    schema.max_length = Some(CIDR_LENGTH);
    rules(schema, [visible(VISIBLE)]);
    rules(schema, cidr_rules("true"));
}

/// The number before `unit` in `self`; 0 without it.
fn amount(unit: &str) -> String {
    format!("double('0' + self.find('[0-9]+{unit}').find('[0-9]+'))")
}

/// A millennium in milliseconds.
const LONGEST: &str = "31536000000000.0";

/// The length of `self` in milliseconds, where it is a duration.
pub(super) fn millis() -> String {
    let (hours, minutes) = (amount("h"), amount("m([^s]|$)"));
    let (seconds, rest) = (amount("s"), amount("ms"));
    format!("({hours} * 3600000.0 + {minutes} * 60000.0 + {seconds} * 1000.0 + {rest})")
}

/// True where `self` is written as a duration.
pub(super) const IS_DURATION: &str = "(self == '0' || (self != '' \
     && self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$')))";

/// Makes a string a duration in whole milliseconds.
pub(super) fn duration(schema: &mut JSONSchemaProps) {
    schema.max_length = Some(40);
    let rule = format!("{IS_DURATION} && {} <= {LONGEST}", millis());
    let sentence = "self + ' is not a duration: write whole numbers with units, such as 450ms, \
                    10s or 1h'";
    rules(schema, [CelRule::makes(rule, sentence)]);
}

/// Makes a text one that is not empty.
pub(super) fn given(schema: &mut JSONSchemaProps, sentence: &str) {
    rules(schema, [CelRule::says("self != ''", sentence)]);
}

/// Rules and bounds of a label selector, and what server-side apply may not take apart in it.
pub(super) fn selector(schema: &mut JSONSchemaProps) {
    schema.x_kubernetes_map_type = Some("atomic".to_owned());
    let fields = schema.properties.get_or_insert_default();
    if let Some(labels) = fields.get_mut("matchLabels") {
        labels.max_properties = Some(64);
    }
    let expressions = at(schema, "matchExpressions");
    expressions.max_items = Some(64);
    let requirement = at(schema, "matchExpressions[]");
    let listing = "self.operator in ['In', 'NotIn']";
    let some = "has(self.values) && size(self.values) > 0";
    let enough =
        CelRule::says(format!("!({listing}) || ({some})"), "In and NotIn need at least one value");
    let none =
        CelRule::says(format!("{listing} || !({some})"), "Exists and DoesNotExist take no values");
    rules(requirement, [enough.field(".values"), none.field(".values")]);
    at(requirement, "values").max_items = Some(256);
    let key = at(requirement, "key");
    key.max_length = Some(317);
    given(key, "name the label's key");
}

/// What else a person's selector has to be. Egret's own objects hold selectors that older versions have
/// taken.
pub(super) fn written_selector(schema: &mut JSONSchemaProps) {
    not_null(schema, &["matchLabels", "matchExpressions"]);
    let labels = &mut at(schema, "matchLabels").additional_properties;
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = labels {
        label_value(value);
        // A null that is removed leaves a selector of everything. One that stays is no text: the
        // controller takes the object for unreadable, and says so.
        value.nullable = Some(true);
    }
    label_value(at(schema, "matchExpressions[].values[]"));
}

/// Refuses a value that no label can have.
fn label_value(schema: &mut JSONSchemaProps) {
    schema.max_length = Some(63);
    let says = "\"'\" + self + \"' is no value that a label can have: write at most 63 letters, digits, \
                -, _ and ., with a letter or digit at both ends\"";
    rules(
        schema,
        [CelRule::makes("self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')", says)],
    );
}

/// Refuses each of `fields` that is there and null: an API server removes it before any rule sees it,
/// unless it may be null, and CEL takes null for absence. No list and no object has both at least one
/// entry and none; of null nobody asks for entries.
pub(super) fn not_null(schema: &mut JSONSchemaProps, fields: &[&str]) {
    let null = |field: &&str| JSONSchemaProps {
        required: Some(vec![(*field).to_owned()]),
        properties: Some([((*field).to_owned(), no_entries_and_one())].into()),
        ..JSONSchemaProps::default()
    };
    let any_of = Some(fields.iter().map(null).collect());
    schema.not = Some(Box::new(JSONSchemaProps { any_of, ..JSONSchemaProps::default() }));
    for field in fields {
        at(schema, field).nullable = Some(true);
    }
}

fn no_entries_and_one() -> JSONSchemaProps {
    JSONSchemaProps {
        min_items: Some(1),
        max_items: Some(0),
        min_properties: Some(1),
        max_properties: Some(0),
        ..JSONSchemaProps::default()
    }
}

/// The number of `address`, the text of an IPv4 address. CEL itself cannot compare addresses; of
/// IPv6 none fits its integers.
///
/// By `find`, since the budget takes what `split` and `string` make for arbitrarily long.
pub(super) fn number(address: &str) -> String {
    let first = format!("int({address}.find('^[0-9]+'))");
    let second = format!("int({address}.find('^[0-9]+[.][0-9]+').find('[0-9]+$'))");
    let third = format!("int({address}.find('[0-9]+[.][0-9]+$').find('^[0-9]+'))");
    let fourth = format!("int({address}.find('[0-9]+$'))");
    format!("((({first} * 256 + {second}) * 256 + {third}) * 256 + {fourth})")
}
