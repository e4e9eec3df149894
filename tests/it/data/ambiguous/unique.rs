// 6 draws: the first of each, in their order
pub fn unique(numbers: &[i32]) -> Vec<i32> {
    let mut seen = std::collections::HashSet::new();
    numbers.iter().copied().filter(|number| seen.insert(*number)).collect()
}
// 4 draws: sorted
pub fn unique(numbers: &[i32]) -> Vec<i32> {
    let mut numbers = numbers.to_vec();
    numbers.sort();
    numbers.dedup();
    numbers
}
// 3 draws: of neighbours
pub fn unique(numbers: &[i32]) -> Vec<i32> {
    let mut numbers = numbers.to_vec();
    numbers.dedup();
    numbers
}
// 3 draws: the last of each, in their order
pub fn unique(numbers: &[i32]) -> Vec<i32> {
    let mut kept: Vec<i32> = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        if !numbers[at + 1..].contains(number) {
            kept.push(*number);
        }
    }
    kept
}
