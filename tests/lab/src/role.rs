/// What a node is there for. Every node is a director for the pods that run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabNodeRole {
    /// Labelled `egret.dev/gateway=true`.
    Gateway,
    /// Runs pods only.
    Director,
}
