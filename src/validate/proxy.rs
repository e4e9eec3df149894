use crate::spec::Spec;
pub(super) const LOST: i32 = 113;
pub(super) fn library(_spec: &Spec) -> Option<String> {
    None
}
pub(super) fn server(_spec: &Spec, _modules: &[String]) -> String {
    String::new()
}
