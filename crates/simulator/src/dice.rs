//! Stable hashes, which seed the random generators.

use serde_json::{Value, json};

/// The hash of no bytes.
pub(crate) const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Returns the FNV-1a hash; the standard library's hash may change between versions.
pub(crate) fn hash(bytes: &[u8], start: u64) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    bytes.iter().fold(start, step)
}

/// Returns the text of a value with sorted members. `serde_json` keeps the original order if any
/// crate of the program enables that, and the same request must get the same response.
pub(crate) fn sorted(value: &Value) -> String {
    let comma = |list: Vec<String>| list.join(",");
    match value {
        Value::Array(list) => format!("[{}]", comma(list.iter().map(sorted).collect())),
        Value::Object(members) => {
            let mut members = members.iter().collect::<Vec<_>>();
            members.sort_by_key(|(name, _)| *name);
            let members = members.iter();
            let members = members.map(|(name, value)| format!("{}:{}", json!(name), sorted(value)));
            format!("{{{}}}", comma(members.collect()))
        }
        value => value.to_string(),
    }
}
