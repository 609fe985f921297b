//! Files that people write, in JSON's values: YAML.

mod yaml;

use serde_json::Value;

/// The first document of a YAML file.
///
/// # Errors
///
/// What is wrong with it, in a line.
pub fn from_yaml(text: &str) -> Result<Value, String> {
    yaml::parse(text, yaml::Scalars::Typed)
}

/// The same where every scalar is meant as a text, however it looks: `1.10` and `010` stay what they
/// are.
///
/// # Errors
///
/// What is wrong with it, in a line.
pub fn texts_from_yaml(text: &str) -> Result<Value, String> {
    yaml::parse(text, yaml::Scalars::Texts)
}
