// 4 draws: with both ends, nothing when a is larger
pub fn between(a: i32, b: i32) -> i64 {
    let (a, b) = (a as i64, b as i64);
    if a > b { 0 } else { (a + b) * (b - a + 1) / 2 }
}
// 3 draws: with both ends, in whichever order they come
pub fn between(a: i32, b: i32) -> i64 {
    let (a, b) = (a.min(b) as i64, a.max(b) as i64);
    (a + b) * (b - a + 1) / 2
}
// 3 draws: without the upper end
pub fn between(a: i32, b: i32) -> i64 {
    let (a, b) = (a as i64, b as i64);
    if a >= b { 0 } else { (a + b - 1) * (b - a) / 2 }
}
// 3 draws: without the ends
pub fn between(a: i32, b: i32) -> i64 {
    let (a, b) = (a as i64 + 1, b as i64 - 1);
    if a > b { 0 } else { (a + b) * (b - a + 1) / 2 }
}
// 3 draws: without the ends, in whichever order they come
pub fn between(a: i32, b: i32) -> i64 {
    let (a, b) = (a.min(b) as i64 + 1, a.max(b) as i64 - 1);
    if a > b { 0 } else { (a + b) * (b - a + 1) / 2 }
}
