// 5 draws: cut off, with an ellipsis that counts
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    if most == 0 {
        return String::new();
    }
    text.chars().take(most - 1).chain(std::iter::once('…')).collect()
}
// 3 draws: cut off, with an ellipsis that does not count
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most).chain(std::iter::once('…')).collect()
}
// 3 draws: cut off
pub fn shorten(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
// 3 draws: three dots that count
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most.saturating_sub(3)).collect::<String>() + &"..."[..most.min(3)]
}
// 3 draws: three dots that do not count
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most).collect::<String>() + "..."
}
// 3 draws: cut off by bytes, where a character ends
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}
