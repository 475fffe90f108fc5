//! The description of a fault.

/// The description of a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FaultInfo {
    /// The name, as on the command line.
    pub name: &'static str,
    /// The numbers of the fault in the project's table of faults, separated by spaces, or `-`.
    pub ids: &'static str,
    /// The services that can have the fault.
    pub applies_to: &'static str,
    /// What the server does.
    pub does: &'static str,
    /// What a careful client does.
    pub expected: &'static str,
}
