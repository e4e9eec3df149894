// 6 draws: the first page is number 0
pub fn page(items: &[char], size: usize, number: usize) -> Vec<char> {
    items.iter().copied().skip(number.saturating_mul(size)).take(size).collect()
}
// 4 draws: the first page is number 1, and there is no page 0
pub fn page(items: &[char], size: usize, number: usize) -> Vec<char> {
    match number.checked_sub(1) {
        Some(before) => items.iter().copied().skip(before.saturating_mul(size)).take(size).collect(),
        None => Vec::new(),
    }
}
// 3 draws: the first page is number 1, and so is page 0
pub fn page(items: &[char], size: usize, number: usize) -> Vec<char> {
    items.iter().copied().skip(number.saturating_sub(1).saturating_mul(size)).take(size).collect()
}
// 3 draws: from 0, and behind the last page is the last page
pub fn page(items: &[char], size: usize, number: usize) -> Vec<char> {
    if size == 0 || items.is_empty() {
        return Vec::new();
    }
    let last = (items.len() - 1) / size;
    items.iter().copied().skip(number.min(last) * size).take(size).collect()
}
