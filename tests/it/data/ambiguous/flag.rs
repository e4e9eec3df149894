// 4 draws: exactly so
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("not a flag".to_string()),
    }
}
// 3 draws: in capitals, too
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("not a flag".to_string()),
    }
}
// 3 draws: with blanks around it
pub fn flag(text: &str) -> Result<bool, String> {
    match text.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("not a flag".to_string()),
    }
}
// 3 draws: both
pub fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("not a flag".to_string()),
    }
}
// 3 draws: nothing at all is a no
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" | "" => Ok(false),
        _ => Err("not a flag".to_string()),
    }
}
