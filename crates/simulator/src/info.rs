//! The description of a fault.

/// The description of a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FaultInfo {
    /// The name, as on the command line.
    pub name: &'static str,
    /// The ids of the fault in `docs/faults.md` of the repository, separated by spaces, or `-`.
    pub ids: &'static str,
    /// The services that can have the fault.
    pub applies_to: &'static str,
    /// What the server does.
    pub does: &'static str,
    /// What a careful client does.
    pub expected: &'static str,
}
