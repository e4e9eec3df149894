// 10 draws: words, joined
pub fn slug(title: &str) -> String {
    title.split_whitespace().collect::<Vec<_>>().join("-").to_lowercase()
}
// 6 draws: each blank becomes a dash
pub fn slug(title: &str) -> String {
    title.replace(' ', "-").to_lowercase()
}
