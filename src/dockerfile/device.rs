//! `RUN --device`.

use super::csv::fields;
use super::{Error, suggest};

/// A device of the Container Device Interface that a RUN asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `vendor.com/class=name`, or a class alone.
    pub name: String,
    /// Without it the step cannot run.
    pub required: bool,
}

impl Device {
    /// `NAME[,required]` or `name=NAME[,required=BOOL]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Err(Error::Device(why));
        let (mut name, mut required) = (String::new(), false);
        let fields = fields(text);
        for field in
            fields.map_err(|why| Error::Device(format!("failed to parse csv devices: {why}")))?
        {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
                None => (field.to_ascii_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => required = true,
                ("required", Some(value)) => match value {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => required = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => required = false,
                    _ => return wrong(format!("invalid value for {key}: {value}")),
                },
                ("name", Some(_)) if !name.is_empty() => {
                    return wrong(format!("device name already set to {name}"));
                }
                ("name", Some(value)) => value.clone_into(&mut name),
                // A qualified name has a `=` itself.
                _ if name.is_empty() => name.clone_from(&field),
                (_, None) => {
                    return wrong(format!("invalid field '{field}' must be a key=value pair"));
                }
                (key, Some(_)) => {
                    let meant = suggest(key, ["name", "required"])
                        .map_or_else(String::new, |word| format!(" (did you mean {word}?)"));
                    return wrong(format!("unexpected key '{key}' in '{field}'{meant}"));
                }
            }
        }
        Ok(Self { name, required })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_devices() {
        for (text, name, required) in [
            ("vendor.com/gpu=0", "vendor.com/gpu=0", false),
            ("vendor.com/gpu", "vendor.com/gpu", false),
            ("vendor.com/gpu=0,required", "vendor.com/gpu=0", true),
            ("required=true,name=vendor.com/gpu=0", "vendor.com/gpu=0", true),
            ("a,Required=0", "a", false),
        ] {
            let device = Device { name: name.to_owned(), required };
            assert_eq!(Device::parse(text), Ok(device), "{text}");
        }
        for (text, expected) in [
            ("", "failed to parse csv devices: EOF"),
            ("a,b", "invalid field 'b' must be a key=value pair"),
            ("a,name=b", "device name already set to a"),
            ("a,required=x", "invalid value for required: x"),
            ("a,reqired=1", "unexpected key 'reqired' in 'reqired=1' (did you mean required?)"),
            ("x=y,z=1", "unexpected key 'z' in 'z=1'"),
        ] {
            assert_eq!(Device::parse(text).expect_err(text).to_string(), expected);
        }
    }
}
