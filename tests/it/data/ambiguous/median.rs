// 7 draws: the upper one of the two in the middle
pub fn median(numbers: &[i32]) -> i32 {
    let mut sorted = numbers.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
// 5 draws: halfway between them
pub fn median(numbers: &[i32]) -> i32 {
    let mut sorted = numbers.to_vec();
    sorted.sort();
    match sorted.len() {
        0 => 0,
        n if n % 2 == 1 => sorted[n / 2],
        n => ((sorted[n / 2 - 1] as i64 + sorted[n / 2] as i64) / 2) as i32,
    }
}
// 4 draws: the lower one
pub fn median(numbers: &[i32]) -> i32 {
    let mut sorted = numbers.to_vec();
    sorted.sort();
    if sorted.is_empty() { 0 } else { sorted[(sorted.len() - 1) / 2] }
}
